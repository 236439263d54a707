import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/api/openapi.ts';
import { anchorOf, problemOf } from '../../src/api/problem.ts';
import { routes } from '../../src/api/routes.ts';
import { errorTable, PosthornError, type ErrorCode } from '../../src/errors.ts';
import { startApi } from './server.ts';

const root = join(import.meta.dirname, '..', '..');
const codes = Object.keys(errorTable) as ErrorCode[];
const page = readFileSync(join(root, 'docs', 'errors.md'), 'utf8');
const data = JSON.parse(readFileSync(join(root, 'spec', 'errors.json'), 'utf8')) as { errors: { code: string }[] };

describe('the table of errors', () => {
  it('is what the page tells, each way', () => {
    const sections = page.split(/^## /m).slice(1);
    expect(sections.map((section) => /^<a id="([a-z-]+)"><\/a>([A-Z_]+)$/m.exec(section)?.slice(1))).toEqual(
      codes.map((code) => [anchorOf(code), code]),
    );
    for (const [i, code] of codes.entries()) {
      const { status, title, remedy } = errorTable[code];
      expect(sections[i]).toContain(`**${status}** · ${title}.`);
      expect(sections[i]).toContain(remedy);
    }
  });

  it('is what spec/errors.json holds, each way', () => {
    expect(data.errors).toEqual(codes.map((code) => ({ code, ...errorTable[code] })));
  });

  it('is what the OpenAPI document names, each way', () => {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents have any shape
    const document = openApiDocument(routes, '0') as any;
    expect(document.components.schemas.Problem.properties.code.enum).toEqual(codes);
    const named = new Set(
      JSON.stringify(document.paths).match(/[A-Z]+(?:_[A-Z]+)+|INTERNAL|FORBIDDEN|UNAUTHORIZED|OVERLOADED/g),
    );
    const ofRoutes = codes.filter((code) => named.has(code));
    // These come from no route of this document: methods that a path does not take, HTTP that is none, and nodes without routes.
    const elsewhere = ['METHOD_NOT_ALLOWED', 'HEADERS_TOO_LARGE', 'DELIVERS_ONLY'];
    expect([...ofRoutes, ...elsewhere].sort()).toEqual([...codes].sort());
  });

  it('is what the page that every error leads to says', async () => {
    const api = await startApi();
    const { status, headers, text } = await api.call('GET', '/errors', { key: null });
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    for (const code of codes) {
      const { type } = JSON.parse(problemOf(new PosthornError(code), 'req_1').body) as { type: string };
      expect(type).toBe(`/errors#${anchorOf(code)}`);
      expect(text).toContain(`<h2 id="${anchorOf(code)}">${code}</h2><p>${errorTable[code].status} · `);
    }
    expect(text).not.toMatch(/<script|`/);
    await api.stop();
  });

  it('gives every error a plain title, a remedy and a status of its kind', () => {
    for (const code of codes) {
      const { status, title, remedy } = errorTable[code];
      expect(status).toBeGreaterThanOrEqual(400);
      expect(title).not.toMatch(/\.$/);
      expect(remedy).toMatch(/[.`]$/);
    }
  });
});

describe('an error', () => {
  it.each(codes)('%s goes out with its status and its place in the page', (code) => {
    const { status, headers, body } = problemOf(new PosthornError(code), 'req_1');
    expect(status).toBe(errorTable[code].status);
    expect(headers['content-type']).toBe('application/problem+json');
    const problem = JSON.parse(body) as Record<string, unknown>;
    expect(problem).toMatchObject({ code, status, requestId: 'req_1', title: errorTable[code].title });
    expect(problem.detail).toBe(problem.message);
    expect(page).toContain(`<a id="${String(problem.type).split('#')[1]}">`);
    expect(headers['retry-after'] !== undefined).toBe([429, 503].includes(status));
  });

  it('that is not of the table says nothing of itself', () => {
    const { status, body } = problemOf(new TypeError('x is not a function at /home/secret'), 'req_1');
    expect(status).toBe(500);
    expect(body).not.toContain('secret');
    expect(JSON.parse(body)).toMatchObject({ code: 'INTERNAL' });
  });

  it('names its fields, of very many the first ones', () => {
    const fields = Array.from({ length: 1000 }, (_, i) => ({ field: `f${i}`, message: 'is wrong' }));
    const { body } = problemOf(new PosthornError('BAD_REQUEST', 'x', { fields }), 'req_1');
    expect((JSON.parse(body) as { errors: unknown[] }).errors).toHaveLength(20);
  });
});
