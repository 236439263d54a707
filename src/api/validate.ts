import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { TSchema } from 'typebox';
import { nearest } from '../model/nearest.ts';
import { PosthornError, type FieldError } from '../errors.ts';
import { parseTime } from './time.ts';

/**
 * What a schema may say of itself for people, beside JSON Schema: `x-rule` is the whole rule in words (`must be …`),
 * `x-item` what an element of a list is called. Both are OpenAPI extensions and stay in the document.
 */
interface Annotated {
  'x-rule'?: string;
  'x-item'?: string;
  type?: string | readonly string[];
  minimum?: number;
  maximum?: number;
  properties?: Record<string, unknown>;
}

/** Bodies up to this many characters have all their faults named; of larger ones the first, at the cost of one. */
const ALL_FAULTS_UP_TO = 16_384;

const words: Record<string, string> = {
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
  null: 'null',
};

type Checks = Record<'first' | 'all', ValidateFunction>;

// Nothing is converted, filled in or removed: a number in quotes is no number.
const ajvs = { first: newAjv(false), all: newAjv(true) };
/** Compiled at first use: all at once would cost a fifth of a start. */
const compiled = new WeakMap<TSchema, Partial<Checks>>();

function newAjv(allErrors: boolean): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, allErrors, verbose: true, ownProperties: true });
  ajv.addFormat('date-time', (text: string) => parseTime(text) !== null);
  return ajv;
}

/**
 * Checks a value against a schema. Throws BAD_REQUEST that names each wrong field and its remedy.
 * @param root how the value itself is called: `body`, `query`
 * @param size characters the value came in
 */
export function validate(schema: TSchema, value: unknown, root: string, size = 0): void {
  const which = size <= ALL_FAULTS_UP_TO ? 'all' : 'first';
  let checks = compiled.get(schema);
  if (!checks) compiled.set(schema, (checks = {}));
  const check = (checks[which] ??= ajvs[which].compile(schema));
  if (check(value)) return;
  const fields = (check.errors ?? []).map((error) => explain(error, root));
  throw new PosthornError(
    'BAD_REQUEST',
    fields
      .map(({ field, message }) => `${field}: ${message}`)
      .slice(0, 3)
      .join('; '),
    {
      fields,
    },
  );
}

/** True where the schema takes the value: for tests that hold a hand-written check to its schema. */
export function fits(schema: TSchema, value: unknown): boolean {
  let checks = compiled.get(schema);
  if (!checks) compiled.set(schema, (checks = {}));
  return (checks.first ??= ajvs.first.compile(schema))(value);
}

/** The message about a name that is not known: the nearest known one, or all. */
export function unknownName(name: string, known: readonly string[]): string {
  const guess = nearest(name, known);
  if (guess !== null) return `is not known; did you mean "${guess}"?`;
  return known.length === 0 ? 'is not known; nothing is taken here' : `is not known; known are ${known.join(', ')}`;
}

function explain(error: ErrorObject, root: string): FieldError {
  const path = fieldOf(error.instancePath);
  const schema = error.parentSchema as Annotated;
  const member = (name: string): string => (path === '' ? name : `${path}.${name}`);
  if (error.keyword === 'required') {
    const { missingProperty: name } = error.params as { missingProperty: string };
    return { field: member(name), message: `is missing; it ${ruleOf(schema.properties?.[name] ?? {})}` };
  }
  if (error.keyword === 'additionalProperties') {
    const { additionalProperty: name } = error.params as { additionalProperty: string };
    return { field: member(name), message: unknownName(name, Object.keys(schema.properties ?? {})) };
  }
  return { field: path === '' ? root : path, message: messageOf(error, schema) };
}

function messageOf({ keyword, params, message }: ErrorObject, schema: Annotated): string {
  const p = params as { limit: number; allowedValues: unknown[]; allowedValue: unknown };
  const item = schema['x-item'] ?? 'element';
  switch (keyword) {
    case 'minItems':
      return `must have at least ${p.limit === 1 ? `one ${item}` : `${p.limit} ${item}s`}`;
    case 'maxItems':
      return `must have at most ${p.limit} ${item}s`;
    case 'type':
    case 'pattern':
    case 'format':
    case 'minimum':
    case 'maximum':
      return ruleOf(schema);
    case 'enum':
      return `must be one of ${p.allowedValues.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'minLength':
      return schema['x-rule'] ?? (p.limit === 1 ? 'must not be empty' : `must have at least ${p.limit} characters`);
    case 'maxLength':
      return schema['x-rule'] ?? `must have at most ${p.limit} characters`;
    default:
      return message ?? 'is not valid';
  }
}

function ruleOf(schema: Annotated): string {
  if (schema['x-rule'] !== undefined) return schema['x-rule'];
  const all = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  const types = all.length > 1 ? all.filter((type) => type !== 'null') : all;
  if (types.length === 0) return 'can be any JSON value';
  const said = `must be ${types.map((type) => words[type] ?? type).join(' or ')}`;
  const { minimum, maximum } = schema;
  if (minimum !== undefined && maximum !== undefined) return `${said} from ${minimum} to ${maximum}`;
  return minimum !== undefined ? `${said} of at least ${minimum}` : said;
}

/** `/events/0/type` → `events[0].type`. */
function fieldOf(pointer: string): string {
  let field = '';
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (/^\d+$/.test(name)) field += `[${name}]`;
    else field += field === '' ? name : `.${name}`;
  }
  return field;
}
