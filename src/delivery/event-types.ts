import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import formatsModule from 'ajv-formats';
import { RE2JS } from 're2js';
import { badField, notFound, PosthornError, refuseZero, type FieldError } from '../errors.ts';
import { isEventType, isWildcard } from '../model/event.ts';
import type { EventType } from '../model/tenant.ts';
import type { RecordChange, Store } from '../store/store.ts';
import type { EventTypeVerbs } from './engine.ts';
import { Turns } from './turns.ts';

const MAX_NAMED = 20;
const MAX_SCHEMA_BYTES = 64 * 1024;

export interface EventTypesOptions {
  store: Store;
  /** `closed`: only types of the catalogue are published and subscribed to. */
  catalogue: 'open' | 'closed';
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  now: () => number;
}

/** The catalogue: names, and for those with a JSON Schema the check of every payload at the door. */
export class EventTypes implements EventTypeVerbs {
  readonly #o: EventTypesOptions;
  readonly #types = new Map<string, EventType>();
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #turns = new Turns();

  constructor(options: EventTypesOptions) {
    this.#o = options;
  }

  async load(): Promise<void> {
    for (const type of await this.#o.store.eventTypes.all()) this.#remember(type);
  }

  /** Puts in force what the store has of these types. */
  async follow(changes: readonly RecordChange[] | 'everything'): Promise<void> {
    const { eventTypes } = this.#o.store;
    let names: readonly string[];
    if (changes === 'everything') {
      const stored = new Map((await eventTypes.all()).map((type) => [type.name, type]));
      names = [...new Set([...stored.keys(), ...this.#types.keys()])].filter((name) => {
        return JSON.stringify(stored.get(name)) !== JSON.stringify(this.#types.get(name));
      });
    } else names = changes.map(({ key }) => key);
    for (const name of names) {
      await this.#turns.take(name, async () => {
        const type = await eventTypes.get(name);
        if (type) this.#remember(type);
        else this.#forget(name);
      });
    }
  }

  list(): readonly EventType[] {
    return [...this.#types.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): EventType {
    const type = this.#types.get(name);
    if (!type) throw notFound('event type', name);
    return type;
  }

  async put(input: Parameters<EventTypeVerbs['put']>[0], options: { mustBeNew?: boolean } = {}): Promise<EventType> {
    if (!isEventType(input.name)) {
      throw badField('name', 'must be like "order.created": segments of letters, digits, "_" and "-", joined by dots');
    }
    refuseZero('description', input.description);
    // Whether it is there, and since when, the store may know better than this node.
    if (!this.#types.has(input.name)) await this.#o.catchUp();
    return this.#turns.take(input.name, () => this.#put(input, options));
  }

  async #put(
    input: Parameters<EventTypeVerbs['put']>[0],
    { mustBeNew = false }: { mustBeNew?: boolean },
  ): Promise<EventType> {
    if (mustBeNew && this.#types.has(input.name)) {
      throw new PosthornError('ALREADY_EXISTS', `The event type "${input.name}" exists.`);
    }
    const before = this.#types.get(input.name);
    const now = this.#o.now();
    const type: EventType = {
      name: input.name,
      description: input.description ?? null,
      schema: input.schema ?? null,
      examples: input.examples ?? [],
      isArchived: input.isArchived ?? false,
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
    };
    const validator = compile(type);
    type.examples.forEach((example, i) => {
      if (validator && !passes(validator, example, type.name)) {
        const [first] = fieldErrors(validator.errors, `examples[${i}]`);
        throw badField(first!.field, `does not match the schema: ${first!.message}`);
      }
    });
    await this.#o.store.eventTypes.put(type);
    this.#remember(type);
    return type;
  }

  async remove(name: string): Promise<void> {
    if (!this.#types.has(name)) await this.#o.catchUp();
    return this.#turns.take(name, async () => {
      this.get(name);
      await this.#o.store.eventTypes.remove(name);
      this.#forget(name);
    });
  }

  /** Throws where the type may not be published, or the payload does not match its schema. `path`: `` or `events[3].`. */
  checkData(name: string, value: unknown, path: string): void {
    const type = this.#types.get(name);
    if (!type || type.isArchived) {
      if (this.#o.catalogue === 'open' && !type) return;
      const field = `${path}type`;
      const message = type
        ? `"${name}" is archived; publish another type, or un-archive it`
        : `"${name}" is not in the catalogue; ${this.#valid()}`;
      throw new PosthornError('UNKNOWN_EVENT_TYPE', `${field}: ${message}`, { fields: [{ field, message }] });
    }
    const validator = this.#validators.get(name);
    if (!validator || passes(validator, value, name)) return;
    const fields = fieldErrors(validator.errors, `${path}data`);
    throw new PosthornError('INVALID_EVENT_DATA', `${fields[0]!.field}: ${fields[0]!.message}`, { fields });
  }

  /** Where the catalogue is closed: the message about the patterns that no known type can match; else null. */
  unknownIn(patterns: readonly string[]): string | null {
    if (this.#o.catalogue === 'open') return null;
    const unknown = patterns.filter((pattern) => !isWildcard(pattern) && !this.#types.has(pattern));
    return unknown.length === 0 ? null : `unknown event types: ${unknown.join(', ')}; ${this.#valid()}`;
  }

  #valid(): string {
    const names = this.list()
      .filter(({ isArchived }) => !isArchived)
      .map(({ name }) => name);
    if (names.length === 0) return 'the catalogue is empty';
    const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
    return `valid ones are ${names.slice(0, MAX_NAMED).join(', ')}${more}`;
  }

  #forget(name: string): void {
    this.#types.delete(name);
    this.#validators.delete(name);
  }

  #remember(type: EventType): void {
    this.#types.set(type.name, type);
    const validator = compile(type);
    if (validator) this.#validators.set(type.name, validator);
    else this.#validators.delete(type.name);
  }
}

/** Patterns run in time linear in the text (RE2): one that backtracks would hold up everybody's events. */
const regExp = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(pattern);
    return { test: (text: string) => compiled.matcher(text).find() };
  },
  { code: 'RE2JS' },
);

const MAX_UNIQUE_ITEMS = 1000;

/** Refuses what is costly to check, or not checked at once. */
function checkCost(schema: unknown, path: string): void {
  if (typeof schema !== 'object' || schema === null) return;
  const { $async, uniqueItems, maxItems } = schema as Record<string, unknown>;
  if ($async) throw badField(path, '"$async" is not supported; leave it out');
  if (uniqueItems === true && !(typeof maxItems === 'number' && maxItems <= MAX_UNIQUE_ITEMS)) {
    throw badField(path, `"uniqueItems" needs a "maxItems" of ${MAX_UNIQUE_ITEMS} at the most beside it`);
  }
  for (const [name, part] of Object.entries(schema)) checkCost(part, `${path}.${name}`);
}

/** Throws INVALID_EVENT_DATA where the check cannot come to an end. */
function passes(validator: ValidateFunction, value: unknown, name: string): boolean {
  try {
    return validator(value);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new PosthornError(
      'INVALID_EVENT_DATA',
      `The schema of "${name}" refers to itself without end; have it corrected.`,
      { cause },
    );
  }
}

/** A fresh ajv for each schema, so that the `$id` of one never meets that of another. Nothing is ever fetched for a `$ref`. */
function compile(type: EventType): ValidateFunction | null {
  if (type.schema === null) return null;
  if (Buffer.byteLength(JSON.stringify(type.schema)) > MAX_SCHEMA_BYTES)
    throw badField('schema', `must be at most ${MAX_SCHEMA_BYTES} bytes`);
  checkCost(type.schema, 'schema');
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true, logger: false, code: { regExp } });
  formatsModule.default(ajv);
  try {
    const validator = ajv.compile(type.schema);
    passes(validator, {}, type.name);
    return validator;
  } catch (cause) {
    if (cause instanceof PosthornError) throw badField('schema', 'refers to itself without end');
    throw badField('schema', `is not a JSON Schema (draft 2020-12): ${(cause as Error).message}`);
  }
}

/** `/items/0/total` below `data` becomes `data.items[0].total`. */
function fieldErrors(errors: readonly ErrorObject[] | null | undefined, root: string): FieldError[] {
  return (errors ?? []).map((error) => {
    let field = root;
    for (const part of error.instancePath.split('/').slice(1)) {
      const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
      field += /^\d+$/.test(name) ? `[${name}]` : `.${name}`;
    }
    if (error.keyword === 'required') field += `.${String(error.params['missingProperty'])}`;
    if (error.keyword === 'additionalProperties') field += `.${String(error.params['additionalProperty'])}`;
    const message =
      error.keyword === 'required'
        ? 'is missing'
        : error.keyword === 'additionalProperties'
          ? 'is not known to the schema'
          : (error.message ?? 'is not valid');
    return { field, message };
  });
}
