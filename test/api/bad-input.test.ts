import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

/** The way of every event, and a route that Fastify serves: both must refuse alike. */
const paths = ['/v1/events', '/v1/webhooks', '/v1/events/batch'];
const deep = (depth: number) => `{"type":"a","data":${'['.repeat(depth)}${']'.repeat(depth)}}`;

describe.each(paths)('POST %s', (path) => {
  it.each([
    ['nothing', '', 'body: is empty'],
    ['half an object', '{"type":', 'body: not valid JSON'],
    ['two objects', '{}{}', 'body: not valid JSON'],
    ['a comma too many', '{"type":"a",}', 'body: not valid JSON'],
    ['NaN', '{"type":"a","data":NaN}', 'body: not valid JSON'],
    ['single quotes', "{'type':'a'}", 'body: not valid JSON'],
    ['a list', '[]', 'body: must be an object'],
    ['a string', '"text"', 'body: must be an object'],
    ['a number', '7', 'body: must be an object'],
    ['null', 'null', 'body: must be an object'],
    ['nesting 10,000 deep', deep(10_000), 'body: nested deeper than 100 levels'],
    ['100,000 brackets that never close', '['.repeat(100_000), 'body: nested deeper than 100 levels'],
    ['a name twice', '{"type":"a","type":"b","data":1}', 'twice'],
    ['a name twice deep inside', '{"type":"a","data":{"x":[{"y":1,"y":2}]}}', 'twice'],
    ['a name twice by escape', '{"type":"a","data":{"a":1,"\\u0061":2}}', 'twice'],
    ['__proto__', '{"type":"a","data":1,"__proto__":{"id":"x"}}', '__proto__'],
    ['__proto__ deep inside', '{"type":"a","data":{"__proto__":{}}}', '__proto__'],
    ['half a surrogate pair', '{"type":"a","data":"\\ud800"}', 'surrogate'],
    ['a BOM', '\ufeff{}', 'body: not valid JSON'],
  ])('refuses %s', async (_, body, message) => {
    const answer = await api.call('POST', path, { body, headers: { 'content-type': 'application/json' } });
    expect([answer.status, answer.body.code]).toEqual([400, 'BAD_REQUEST']);
    expect(answer.body.message).toContain(message);
    expect(answer.body.errors[0]!.field).toBe('body');
  });

  it('refuses bytes that are no UTF-8', async () => {
    const body = Buffer.concat([Buffer.from('{"type":"a","data":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    const response = await send(path, body, { 'content-type': 'application/json' });
    expect(response).toMatchObject({
      status: 400,
      body: { code: 'BAD_REQUEST', message: expect.stringContaining('UTF-8') },
    });
  });

  it.each([
    ['a form', 'application/x-www-form-urlencoded'],
    ['plain text', 'text/plain'],
    ['another kind of JSON', 'application/ld+json'],
    ['another charset', 'application/json; charset=latin1'],
    ['a type that is none', ';;;'],
  ])('refuses %s as content type', async (_, type) => {
    const answer = await api.call('POST', path, { body: '{}', headers: { 'content-type': type } });
    expect(answer).toMatchObject({ status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE' } });
    expect(answer.body.message).toContain('application/json');
  });

  it('refuses a body without a content type, and a compressed one', async () => {
    expect(await send(path, Buffer.from('{}'), {})).toMatchObject({ status: 415 });
    const gzip = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    expect(await send(path, Buffer.from('{}'), gzip)).toMatchObject({ status: 415 });
  });

  it('takes JSON whose charset is said to be UTF-8', async () => {
    for (const type of ['application/json;charset=utf-8', 'Application/JSON; charset="UTF-8"']) {
      const answer = await api.call('POST', path, { body: '{}', headers: { 'content-type': type } });
      expect(answer).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } });
    }
  });

  it('refuses what is too large, told by its length or found out, and names limit and setting', async () => {
    const bytes = (path.endsWith('batch') ? 4 : 1) * 262_144 + 1;
    const body = Buffer.alloc(bytes, ' ');
    for (const chunked of [false, true]) {
      const answer = await send(path, body, { 'content-type': 'application/json' }, chunked);
      expect(answer).toMatchObject({ status: 413, body: { code: 'PAYLOAD_TOO_LARGE' } });
      expect(answer.body.message).toContain(`${bytes - 1} bytes`);
      expect(answer.body.message).toContain('POSTHORN_MAX_BODY');
    }
    const fits = await send(path, body.subarray(1), { 'content-type': 'application/json' });
    expect(fits).toMatchObject({ status: 400 });
  });
});

describe('a request', () => {
  it('converts nothing: a number in quotes is no number, a string no list', async () => {
    const answer = await api.call('POST', '/v1/webhooks', {
      body: { url: 'http://127.0.0.1:9/', events: 'a', isActive: 'true', concurrency: '5' },
    });
    expect(answer.body.errors.map(({ field }) => field).sort()).toEqual(['concurrency', 'events', 'isActive']);
  });

  it('to a path that is not there gets 404, whatever its body', async () => {
    for (const path of ['/', '/v1', '/v1/event', '/v1/events/', '/v1/webhooks/x/y', '/metrics', '//v1/events']) {
      expect(await api.call('GET', path)).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
    }
    for (const type of ['application/json', 'text/plain', ';;;']) {
      const answer = await api.call('POST', '/v1/nothing', { body: 'x', headers: { 'content-type': type } });
      expect(answer).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
    }
  });

  it.each([
    ['PUT', '/v1/events', 'POST, GET, HEAD'],
    ['DELETE', '/v1/events', 'POST, GET, HEAD'],
    ['OPTIONS', '/v1/webhooks/x', 'GET, HEAD, PATCH, DELETE'],
    ['GET', '/v1/events/x/replay', 'POST'],
    ['PATCH', '/healthz', 'GET, HEAD'],
  ])('%s %s gets 405 and what it may be', async (method, path, allow) => {
    const answer = await api.call(method, path);
    expect(answer).toMatchObject({ status: 405, body: { code: 'METHOD_NOT_ALLOWED' } });
    expect(answer.headers.get('allow')).toBe(allow);
  });

  it('by HEAD gets what GET gets, without the body', async () => {
    const response = await fetch(`${api.origin}/healthz`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('with a path that cannot be decoded, or is too long, is refused', async () => {
    for (const path of ['/v1/events/%zz', '/v1/webhooks/%C3%28']) {
      const response = await fetch(api.origin + path, {
        headers: { authorization: 'Bearer operator-key-of-the-tests' },
      });
      expect([path, response.status, ((await response.json()) as { code: string }).code]).toEqual([
        path,
        400,
        'BAD_REQUEST',
      ]);
    }
    const long = await api.call('GET', `/v1/events/${'x'.repeat(600)}`);
    expect(long).toMatchObject({ status: 414, body: { code: 'URI_TOO_LONG' } });
    expect((await api.call('GET', `/v1/events/${'%C3%A4'.repeat(40)}`)).status).toBe(404);
  });

  it.each([
    undefined,
    'Basic dXNlcjpwYXNz',
    'Bearer short',
    'Bearer',
    'Bearer ph_live_x'.padEnd(60, 'x'),
    'Bearer operator-key-of-the-testS',
  ])('with the Authorization %s gets 401', async (authorization) => {
    for (const path of paths) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const answer = await api.call('POST', path, { key: null, headers, body: {} });
      expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(answer.body.message).toContain('Authorization: Bearer <key>');
    }
  });

  it('of the worst kind leaves the next one alone', async () => {
    const [good, ...bad] = await Promise.all([
      api.call('POST', '/v1/events', { body: { type: 'a', data: 1 } }),
      ...Array.from({ length: 50 }, (_, i) => api.call('POST', paths[i % 3]!, { body: deep(5000 + i) })),
    ]);
    expect(good.status).toBe(202);
    expect(bad.map(({ status }) => status)).toEqual(Array(50).fill(400));
    expect(api.log.filter(({ msg }) => msg === 'request.failed')).toEqual([]);
  });
});

describe('while the node stops', () => {
  it('changes are refused, reading goes on, and /readyz says so', async () => {
    let stopping = false;
    const node = await startApi({ isStopping: () => stopping });
    expect((await node.call('GET', '/readyz')).body).toEqual({ status: 'ready' });
    stopping = true;
    for (const path of paths) {
      const answer = await node.call('POST', path, { body: { type: 'a', data: 1 } });
      expect(answer).toMatchObject({ status: 503, body: { code: 'SHUTTING_DOWN' } });
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    expect((await node.call('GET', '/v1/webhooks')).status).toBe(200);
    expect((await node.call('GET', '/readyz')).status).toBe(503);
    expect((await node.call('GET', '/healthz')).body).toEqual({ status: 'ok', version: '1.2.3' });
    await node.stop();
  });

  it('/readyz also tells of a store that does not answer', async () => {
    const node = await startApi({
      wrap: (engine) => ({ ...engine, ready: () => Promise.reject(new Error('disk on fire')) }),
    });
    const answer = await node.call('GET', '/readyz');
    expect(answer).toMatchObject({ status: 503, body: { code: 'STORE_UNAVAILABLE' } });
    expect(answer.text).not.toContain('fire');
    await node.stop();
  });
});

/** A request whose body is bytes, which `call` does not send. */
async function send(path: string, bytes: Buffer, headers: Record<string, string>, chunked = false) {
  const stream = () =>
    new ReadableStream({
      start(controller) {
        for (let i = 0; i < bytes.length; i += 65_536)
          controller.enqueue(new Uint8Array(bytes.subarray(i, i + 65_536)));
        controller.close();
      },
    });
  const response = await fetch(api.origin + path, {
    method: 'POST',
    headers: { authorization: 'Bearer operator-key-of-the-tests', ...headers },
    body: chunked ? stream() : new Uint8Array(bytes),
    ...(chunked ? { duplex: 'half' } : {}),
  });
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- an answer has whatever fields it has
  return { status: response.status, body: (await response.json()) as any };
}
