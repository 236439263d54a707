import type { Static, TSchema } from 'typebox';
import type { XStatic } from 'typebox/schema';

/** Event types and the JSON Schema (draft 2020-12) of their data: written out, or made with TypeBox. */
export type Catalogue = Readonly<Record<string, object>>;

/** What data of an event type looks like: `unknown` for types that were not declared. */
export type DataOf<Types extends Catalogue, Name extends string> = Name extends keyof Types
  ? Types[Name] extends TSchema
    ? Static<Types[Name]>
    : XStatic<unknown, Types[Name]>
  : unknown;

/** The names to choose from: the declared ones; any, where none were. */
export type EventName<Types extends Catalogue> = string extends keyof Types ? string : keyof Types & string;
