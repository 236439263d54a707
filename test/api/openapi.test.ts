import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/api/openapi.ts';
import { routes } from '../../src/api/routes.ts';
import { fits } from '../../src/api/validate.ts';
import { version } from '../../src/version.ts';
import { startApi, type Api } from './server.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents have any shape
const document = openApiDocument(routes, version) as any;
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents have any shape
const operations: [string, any][] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods as object).map(
    ([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as [string, unknown],
  ),
);

describe('the OpenAPI document', () => {
  let api: Api;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.stop());

  it('is committed as it is made', () => {
    const file = join(import.meta.dirname, '..', '..', 'spec', 'openapi.json');
    const { 'x-generated': _, ...committed } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    expect(committed).toEqual(JSON.parse(JSON.stringify(document)));
  });

  it('is served without a key', async () => {
    const { status, body } = await api.call('GET', '/openapi.json', { key: null });
    expect([status, body.openapi, body.info.version]).toEqual([200, '3.1.0', '1.2.3']);
    expect(Object.keys(body.paths)).toEqual(Object.keys(document.paths));
  });

  it('has every route, each with a name of its own', () => {
    expect(operations.map(([name]) => name).sort()).toEqual(
      routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`).sort(),
    );
    const ids = operations.map(([, { operationId }]) => operationId as string);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('refers to nothing that is not there, and has no component that nothing refers to', () => {
    const text = JSON.stringify(document);
    const refs = new Set(
      [...text.matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)].map(([, kind, name]) => `${kind}/${name}`),
    );
    const components = Object.entries(document.components as Record<string, object>)
      .filter(([kind]) => kind !== 'securitySchemes')
      .flatMap(([kind, members]) => Object.keys(members).map((name) => `${kind}/${name}`));
    expect([...refs].sort()).toEqual(components.sort());
  });

  it('has schemas that are JSON Schema', () => {
    const ajv = new Ajv2020({ strict: false });
    ajv.addFormat('date-time', true);
    for (const [name, schema] of Object.entries(document.components.schemas as Record<string, object>)) {
      expect([name, ajv.validateSchema(schema)]).toEqual([name, true]);
    }
    for (const { query, body, answer } of routes) {
      for (const schema of [query, body, answer.schema]) if (schema) expect(ajv.validateSchema(schema)).toBe(true);
    }
  });

  it.each(operations)('tells all there is to know of %s', (name, operation) => {
    expect(operation.summary).toMatch(/\S/);
    expect(operation.description).toMatch(/Needs/);
    expect(operation.tags).toHaveLength(1);
    const isPublic = operation.security?.length === 0;
    expect('401' in operation.responses && '403' in operation.responses).toBe(!isPublic);
    expect(operation.responses['500']).toBeDefined();
    const inPath = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
    const parameters = operation.parameters as { in?: string; name: string }[];
    const declared = parameters.filter((one) => one.in === 'path').map(({ name: parameter }) => parameter);
    expect(declared).toEqual(inPath);
  });

  it.each(
    routes.filter(({ body, bodyIsOptional }) => body && !bodyIsOptional).map((route) => [route.id, route] as const),
  )('has an example of %s that fits', (_, { body, example }) => {
    expect(example).toBeDefined();
    expect(fits(body!, example)).toBe(true);
  });
});
