import { createHmac } from 'node:crypto';
import {
  createServer,
  request as sendRequest,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { afterEach, describe, expect, it } from 'vitest';
import { keepRawBody, webhook as expressWebhook, webhookOf } from '../src/receive/express.ts';
import { webhooks as fastifyWebhooks } from '../src/receive/fastify.ts';
import { webhook as honoWebhook } from '../src/receive/hono.ts';
import { webhookHandler, webhookRoute } from '../src/receive/next.ts';

const secret = 'a-secret-of-some-length';
const options = { secret, format: 'grantiva', maxBytes: 1000 } as const;
// Spaces that JSON.stringify would not write: only the raw bytes verify.
const body = '{ "event": "order.paid", "timestamp": "2026-01-15T09:30:00.250Z", "data": { "name": "Zoë" } }';

function signed(text = body): Record<string, string> {
  const signature = `sha256=${createHmac('sha256', secret).update(text).digest('hex')}`;
  return { 'content-type': 'application/json', 'x-grantiva-signature': signature };
}

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Post {
  (text: string, headers: Record<string, string>): Promise<{ status: number; body: unknown }>;
}

const overHttp =
  (base: string): Post =>
  async (text, headers) => {
    const response = await fetch(`${base}/hook`, { method: 'POST', body: text, headers });
    return { status: response.status, body: await response.json() };
  };

const inProcess =
  (handle: (request: Request) => Promise<Response> | Response): Post =>
  async (text, headers) => {
    const response = await handle(new Request('http://localhost/hook', { method: 'POST', body: text, headers }));
    return { status: response.status, body: await response.json() };
  };

const receivers: Record<string, () => Promise<Post>> = {
  async Express() {
    const app = express();
    app.post('/hook', expressWebhook(options), (request, response) => {
      response.json(webhookOf(request));
    });
    return overHttp(await listen(app));
  },
  async 'Express, with express.json() before it that keeps the raw body'() {
    const app = express();
    app.use(express.json({ verify: keepRawBody }));
    app.post('/hook', expressWebhook(options), (request, response) => {
      expect(request.body).toEqual(JSON.parse(body));
      response.json(webhookOf(request));
    });
    return overHttp(await listen(app));
  },
  async 'Express, with express.raw() before it'() {
    const app = express();
    app.use(express.raw({ type: '*/*' }));
    app.post('/hook', expressWebhook(options), (request, response) => {
      response.json(webhookOf(request));
    });
    return overHttp(await listen(app));
  },
  async 'Express, with something before it that sets an encoding'() {
    const app = express();
    app.use((request, _response, next) => {
      request.setEncoding('utf8');
      next();
    });
    app.post('/hook', expressWebhook(options), (request, response) => {
      response.json(webhookOf(request));
    });
    return overHttp(await listen(app));
  },
  async Fastify() {
    const app = fastify();
    app.register(async (scope) => {
      await scope.register(fastifyWebhooks, options);
      scope.post('/hook', (request) => Promise.resolve(webhookOf(request)));
    });
    closers.push(() => app.close());
    return overHttp(await app.listen({ host: '127.0.0.1', port: 0 }));
  },
  Hono() {
    const app = new Hono();
    app.post('/hook', honoWebhook(options), async (c) => {
      expect(await c.req.json()).toEqual(JSON.parse(body));
      return c.json(webhookOf(c));
    });
    return Promise.resolve(inProcess((request) => app.fetch(request)));
  },
  'Hono, with something before it that reads the body'() {
    const app = new Hono();
    app.use(async (c, next) => {
      await c.req.text();
      await next();
    });
    app.post('/hook', honoWebhook(options), (c) => c.json(webhookOf(c)));
    return Promise.resolve(inProcess((request) => app.fetch(request)));
  },
  'Next.js, app router'() {
    return Promise.resolve(inProcess(webhookRoute(options, (event) => Response.json(event))));
  },
  // What Next.js hands to an API route with `bodyParser: false` are the request and response of node:http.
  async 'Next.js, pages router'() {
    const handler = webhookHandler<IncomingMessage, ServerResponse>(options, (event, _request, response) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify(event)),
    );
    return overHttp(await listen((request, response) => void handler(request, response)));
  },
};

describe.each(Object.keys(receivers))('a receiver with %s', (name) => {
  const start = (): Promise<Post> => receivers[name]!();

  it('gets the event of a request that is signed', async () => {
    const post = await start();
    expect(await post(body, signed())).toEqual({
      status: 200,
      body: {
        id: null,
        type: 'order.paid',
        occurredAt: '2026-01-15T09:30:00.250Z',
        data: { name: 'Zoë' },
        payload: JSON.parse(body) as unknown,
      },
    });
  });

  it('answers 400 with the cause where the signature is another', async () => {
    const post = await start();
    const answer = await post(body, signed('{}'));
    expect(answer).toMatchObject({ status: 400, body: { code: 'no_match' } });
    expect(await post(body, { 'content-type': 'application/json' })).toMatchObject({
      status: 400,
      body: { code: 'missing_header', message: expect.stringContaining('X-Grantiva-Signature') as string },
    });
  });

  it('answers 413 where the body is too large', async () => {
    const post = await start();
    const large = JSON.stringify({ data: 'x'.repeat(2000) });
    expect((await post(large, signed(large))).status).toBe(413);
  });
});

describe('set-up that cannot work', () => {
  it('throws where the receiver is made, if the secret is bad', () => {
    const bad = { secret: 'whsec_short' };
    expect(() => expressWebhook(bad)).toThrow(/Secret 1: .*stands for|Secret 1: is not base64/);
    const app = fastify();
    closers.push(() => app.close());
    expect(() => {
      fastifyWebhooks(app, bad, () => undefined);
    }).toThrow(TypeError);
  });

  it('is an error of the receiver and not of the request, where it shows at the first request', async () => {
    const request = () => new Request('http://localhost/hook', { method: 'POST', body, headers: signed() });
    await expect(webhookRoute({ secret: '' }, () => new Response())(request())).rejects.toThrow('Secret 1: is empty');
    const app = new Hono();
    app.onError((error, c) => c.text(error.message, 500));
    app.post('/hook', honoWebhook({ secret: '' }), (c) => c.text(''));
    const answer = await app.fetch(request());
    expect([answer.status, await answer.text()]).toEqual([500, 'Secret 1: is empty.']);
  });

  it('says so where the body was parsed before', async () => {
    const app = express();
    app.use(express.json());
    app.post('/hook', expressWebhook(options), (_request, response) => {
      response.sendStatus(204);
    });
    app.use(((error: Error, _request, response, _next) => {
      response.status(500).json({ message: error.message });
    }) as express.ErrorRequestHandler);
    const answer = await overHttp(await listen(app))(body, signed());
    expect(answer).toMatchObject({
      status: 500,
      body: { message: expect.stringContaining('was read before') as string },
    });
  });

  it('says so where a handler asks for an event that nothing verified', () => {
    expect(() => webhookOf({})).toThrow('put the verifier before');
  });
});

it('a receiver in Express hears of a connection that closes in the middle of a body', async () => {
  const failed = Promise.withResolvers<Error>();
  const arrived = Promise.withResolvers<undefined>();
  const verify = expressWebhook(options);
  const base = await listen((request, response) => {
    verify(request, response, (error) => {
      failed.resolve(error as Error);
    });
    request.once('data', () => {
      arrived.resolve(undefined);
    });
  });
  const request = sendRequest(`${base}/hook`, { method: 'POST', headers: { ...signed(), 'content-length': '500' } });
  request.on('error', () => undefined);
  request.write('{');
  await arrived.promise;
  request.destroy();
  expect((await failed.promise).message).toMatch(/closed|aborted/);
});

it.each(['Hono', 'Next.js, app router'])(
  '%s reads no more of a body than is allowed, however long it is',
  async (name) => {
    let pulled = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(500));
      },
    });
    const init = { method: 'POST', body: endless, headers: signed(), duplex: 'half' };
    const request = new Request('http://localhost/hook', init as RequestInit);
    const app = new Hono();
    app.post('/hook', honoWebhook(options), (c) => c.text(''));
    const handle = name === 'Hono' ? app.fetch : webhookRoute(options, () => new Response());
    expect((await handle(request)).status).toBe(413);
    expect(pulled).toBeLessThan(6);
  },
);
