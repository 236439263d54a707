import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPosthorn, type Posthorn } from '../../src/index.ts';
import { startLibrary, valueOf } from './posthorn.ts';

let posthorn: Posthorn;
let key: string;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  posthorn = await startLibrary();
  ({ key } = valueOf(await posthorn.createKey({ role: 'owner', tenantId: 'default' })));
});
afterAll(() => posthorn.stop());
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What every mount must do: take a webhook and an event, answer in its own words, leave other paths alone. */
async function exercise(base: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const post = (path: string, body: unknown): Promise<Response> =>
    fetch(base + path, { method: 'POST', headers, body: JSON.stringify(body) });
  const created = await post('/v1/webhooks', { url: 'http://127.0.0.1:9/hook', events: ['x.y'] });
  expect(created.status).toBe(201);
  const { id } = (await created.json()) as { id: string };
  const list = await fetch(`${base}/v1/webhooks?limit=1`, { headers });
  expect(await list.json()).toMatchObject({ webhooks: [{ id }] });
  const accepted = await post('/v1/events', { type: 'a.b', data: { text: 'ü'.repeat(5000) } });
  expect(accepted.status).toBe(202);
  expect(await accepted.json()).toMatchObject({ deliveries: 0 });
  const refused = await fetch(`${base}/v1/webhooks`);
  expect(refused.status).toBe(401);
  expect(await refused.json()).toMatchObject({ code: 'UNAUTHORIZED', requestId: expect.any(String) });
  const deleted = await fetch(`${base}/v1/webhooks/${id}`, { method: 'DELETE', headers });
  expect(deleted.status).toBe(204);
  expect(await deleted.text()).toBe('');
}

describe('the handler', () => {
  it('is a whole server for node:http', async () => {
    await exercise(await listen(posthorn.handler()));
  });

  it('keeps to its prefix', async () => {
    const base = await listen(posthorn.handler({ prefix: '/hooks' }));
    await exercise(`${base}/hooks`);
    expect((await fetch(`${base}/v1/webhooks`)).status).toBe(404);
    expect((await fetch(`${base}/hooksters/v1/webhooks`)).status).toBe(404);
    expect(() => posthorn.handler({ prefix: 'hooks' })).toThrow('begin it with "/"');
  });

  it('is mounted in Express beside the application’s own routes', async () => {
    const app = express();
    app.use('/posthorn', posthorn.handler());
    app.use(posthorn.handler());
    app.get('/mine', (_request, response) => {
      response.send('mine');
    });
    const base = await listen(app);
    await exercise(`${base}/posthorn`);
    await exercise(base);
    expect(await (await fetch(`${base}/mine`)).text()).toBe('mine');
  });

  it('says what is wrong where a body parser came first', async () => {
    const app = express();
    app.use(express.json(), posthorn.handler());
    const base = await listen(app);
    const answer = await fetch(`${base}/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: '{"type":"a.b","data":1}',
    });
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain('in front of body parsers');
  });

  it('is mounted in Fastify', async () => {
    const app = fastify();
    const handle = posthorn.handler({ prefix: '/posthorn' });
    await app.register(async (scope) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      scope.all('/posthorn/*', (request, reply) => {
        reply.hijack();
        handle(request.raw, reply.raw);
      });
    });
    app.get('/mine', () => 'mine');
    const base = await app.listen({ port: 0 });
    closing.push(() => app.close());
    await exercise(`${base}/posthorn`);
    expect(await (await fetch(`${base}/mine`)).text()).toBe('mine');
  });

  it('is mounted where requests are those of the Fetch standard: Hono, and Next.js’ app router', async () => {
    const app = new Hono();
    app.all('/posthorn/*', (context) => posthorn.fetch(context.req.raw, { prefix: '/posthorn' }));
    const base = await listen((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        void (async () => {
          const { method, url, headers } = incoming;
          const body = chunks.length === 0 ? null : Buffer.concat(chunks);
          const request = new Request(`http://here${url}`, {
            method: method!,
            headers: headers as Record<string, string>,
            body,
          });
          const answer = await app.fetch(request);
          response.writeHead(answer.status, Object.fromEntries(answer.headers));
          response.end(Buffer.from(await answer.arrayBuffer()));
        })();
      });
    });
    await exercise(`${base}/posthorn`);
  });

  it('answers 503 before the start', async () => {
    const asleep = createPosthorn({ store: 'memory' });
    const base = await listen(asleep.handler());
    expect((await fetch(`${base}/healthz`)).status).toBe(503);
    await asleep.stop();
  });
});
