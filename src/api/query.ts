import type { TObject } from 'typebox';
import { badField } from '../errors.ts';
import { unknownName, validate } from './validate.ts';

/** A query string as Fastify parsed it. */
export type RawQuery = Readonly<Record<string, string | readonly string[]>>;

/**
 * Reads a query by its schema: text becomes whole numbers, booleans and lists (repeated, or with commas between) where
 * the schema has these, and is then checked like a body. Throws BAD_REQUEST; a parameter that is not known is one.
 */
export function readQuery(schema: TObject | undefined, raw: RawQuery): unknown {
  const known = (schema?.properties ?? {}) as Record<string, { type?: string }>;
  const query: Record<string, unknown> = {};
  for (const name of Object.keys(raw)) {
    const property = Object.hasOwn(known, name) ? known[name]! : undefined;
    if (!property) throw badField(name, unknownName(name, Object.keys(known)));
    query[name] = convert(name, property.type, raw[name]!);
  }
  if (schema) validate(schema, query, 'query');
  return query;
}

function convert(name: string, type: string | undefined, value: string | readonly string[]): unknown {
  if (type === 'array') return (typeof value === 'string' ? [value] : value).flatMap((text) => text.split(','));
  if (typeof value !== 'string') throw badField(name, 'is given more than once; give it once');
  if (type === 'integer' && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}
