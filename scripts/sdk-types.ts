// Writes sdk/typescript/src/types.ts from spec/openapi.json: every schema, and each native operation's path, query, body
// and answer. `node scripts/sdk-types.ts` writes it; `--check` fails when it is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  patternProperties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
}
interface Content {
  content?: Record<string, { schema?: Schema }>;
}
interface Parameter {
  $ref?: string;
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema: Schema;
}
interface Operation {
  operationId: string;
  summary?: string;
  parameters?: Parameter[];
  requestBody?: Content & { required?: boolean };
  responses: Record<string, Content & { $ref?: string }>;
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Schema>;
    parameters: Record<string, Parameter>;
    responses: Record<string, Content>;
  };
}

const root = join(import.meta.dirname, '..');
const target = join(root, 'sdk/typescript/src/types.ts');
const document = JSON.parse(readFileSync(join(root, 'spec/openapi.json'), 'utf8')) as Document;
const schemas = document.components.schemas;

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods)
    .filter(([, operation]) => isNative(operation))
    .map(([method, operation]) => ({ call: `${method.toUpperCase()} ${path}`, path, operation })),
);

/** The faces of other products are in the document too; their clients exist. A native error is a problem (RFC 9457). */
function isNative(operation: Operation): boolean {
  return Object.values(operation.responses).some(({ $ref, content }) => {
    const response = $ref === undefined ? { content } : document.components.responses[nameIn($ref)];
    return response?.content?.['application/problem+json'] !== undefined;
  });
}

function nameIn(reference: string): string {
  return reference.slice(reference.lastIndexOf('/') + 1);
}

/** Names of schemas that stand somewhere in this value, also by way of others. */
function reachable(value: unknown, found = new Set<string>()): Set<string> {
  if (typeof value !== 'object' || value === null) return found;
  for (const [name, member] of Object.entries(value)) {
    if (name === '$ref' && typeof member === 'string') {
      const schema = nameIn(member);
      if (member.startsWith('#/components/schemas/') && !found.has(schema)) {
        found.add(schema);
        reachable(schemas[schema], found);
      }
    } else {
      reachable(member, found);
    }
  }
  return found;
}

const answered = reachable(operations.map(({ operation }) => operation.responses));
/** Only sent, never answered: may be read-only arrays and Dates. */
const sent = new Set(
  [...reachable(operations.map(({ operation }) => operation.requestBody))].filter((name) => !answered.has(name)),
);
const named = [...new Set([...answered, ...sent, 'Problem'])].sort();

/** A schema as a type. `input`: what a caller gives, who may have read-only arrays and Dates. */
function typeOf(schema: Schema, input: boolean): string {
  if (schema.$ref !== undefined) return nameIn(schema.$ref);
  if ('const' in schema) return JSON.stringify(schema.const);
  const parts = schema.anyOf ?? schema.oneOf;
  if (parts !== undefined) return parts.map((part) => `(${typeOf(part, input)})`).join(' | ');
  if (schema.allOf !== undefined) return schema.allOf.map((part) => `(${typeOf(part, input)})`).join(' & ');
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (schema.enum !== undefined) {
    const values = schema.enum.map((value) => JSON.stringify(value));
    return [...new Set([...values, ...(types.includes('null') ? ['null'] : [])])].join(' | ');
  }
  if (types.length === 0) return schema.properties === undefined ? 'unknown' : objectOf(schema, input);
  return [...new Set(types.map((type) => plainTypeOf(type, schema, input)))].join(' | ');
}

function plainTypeOf(type: string, schema: Schema, input: boolean): string {
  switch (type) {
    case 'string':
      return input && schema.format === 'date-time' ? 'string | Date' : 'string';
    case 'integer':
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'null':
      return 'null';
    case 'array':
      return `${input ? 'readonly ' : ''}(${typeOf(schema.items ?? {}, input)})[]`;
    case 'object':
      return objectOf(schema, input);
    default:
      throw new Error(`There is no type for ${JSON.stringify(schema)}.`);
  }
}

function objectOf(schema: Schema, input: boolean): string {
  if (schema.properties !== undefined) return `{\n${membersOf(schema, input)}\n}`;
  const values = [
    ...Object.values(schema.patternProperties ?? {}),
    ...(typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []),
  ];
  const value = values.length === 0 ? 'unknown' : values.map((one) => typeOf(one, input)).join(' | ');
  return `Record<string, ${value}>`;
}

function membersOf(schema: Schema, input: boolean): string {
  return Object.entries(schema.properties ?? {})
    .map(([name, member]) => {
      const optional = schema.required?.includes(name) === true ? '' : '?';
      return `${comment(member.description)}${propertyName(name)}${optional}: ${typeOf(member, input)};`;
    })
    .join('\n');
}

function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

function comment(text: string | undefined): string {
  return text === undefined ? '' : `/** ${text.replaceAll('*/', '*\\/')} */\n`;
}

function declarationOf(name: string): string {
  const schema = schemas[name];
  if (schema === undefined) throw new Error(`The document has no schema ${name}.`);
  const about = comment(schema.description);
  return schema.properties === undefined
    ? `${about}export type ${name} = ${typeOf(schema, sent.has(name))};`
    : `${about}export interface ${name} {\n${membersOf(schema, sent.has(name))}\n}`;
}

/** What one operation takes and gives; `never` where there is nothing. */
function operationOf(call: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map((parameter) =>
    parameter.$ref === undefined ? parameter : document.components.parameters[nameIn(parameter.$ref)]!,
  );
  const taking = (place: string): Schema => {
    const these = parameters.filter((parameter) => parameter.in === place);
    return {
      type: 'object',
      required: these.filter(({ required }) => required === true).map(({ name }) => name),
      properties: Object.fromEntries(
        these.map(({ name, schema, description }) => [
          name,
          description === undefined ? schema : { ...schema, description },
        ]),
      ),
    };
  };
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith('2'))?.[1];
  const answer = success?.content?.['application/json']?.schema;
  const body = operation.requestBody?.content?.['application/json']?.schema;
  const query = taking('query');
  const path = taking('path');
  const isEmpty = ({ properties }: Schema): boolean => Object.keys(properties ?? {}).length === 0;
  const keyed = parameters.some(({ name }) => name.toLowerCase() === 'idempotency-key');
  return [
    `${comment(operation.summary)}${JSON.stringify(call)}: {`,
    `path: ${isEmpty(path) ? 'never' : typeOf(path, true)};`,
    `query: ${isEmpty(query) ? 'never' : typeOf(query, true)};`,
    `body: ${body === undefined ? 'never' : typeOf(body, true)};`,
    `takesIdempotencyKey: ${keyed};`,
    `answer: ${answer === undefined ? 'undefined' : typeOf(answer, false)};`,
    '};',
  ].join('\n');
}

const source = [
  '// Generated by scripts/sdk-types.ts from spec/openapi.json; do not edit.\n',
  ...named.map((name) => `${declarationOf(name)}\n`),
  '/** Every operation of the native API, by method and path. */',
  `export interface Operations {\n${operations.map(({ call, operation }) => operationOf(call, operation)).join('\n')}\n}\n`,
  '/** What an error is told by. */',
  `export type ApiErrorCode = Problem['code'];\n`,
].join('\n');

const text = await format(source, { ...(await resolveConfig(target)), parser: 'typescript' });
if (!process.argv.includes('--check')) {
  writeFileSync(target, text);
} else if (read(target) !== text) {
  console.error('sdk/typescript/src/types.ts is stale; run `node scripts/sdk-types.ts`.');
  process.exitCode = 1;
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
