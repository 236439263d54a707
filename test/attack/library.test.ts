import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createPosthorn, webhookEvent, type Posthorn, type PosthornOptions } from '../../src/index.ts';
import { becomes } from './engine-rig.ts';
import { codeOf, valueOf } from '../library/posthorn.ts';

const made: Posthorn[] = [];
const folders: string[] = [];

function make(options: PosthornOptions = { store: 'memory' }): Posthorn {
  const posthorn = createPosthorn({ allowPrivateUrls: true, ...options });
  made.push(posthorn);
  return posthorn;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'posthorn-attack-'));
  folders.push(path);
  return path;
}

afterEach(async () => {
  for (const posthorn of made.splice(0)) await posthorn.stop();
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

const threads = (): number =>
  process.getActiveResourcesInfo().filter((name) => /MessagePort|Worker/i.test(name)).length;

describe('start and stop', () => {
  it('stop during the start leaves decorated methods to the next Posthorn', async () => {
    const first = make();
    const starting = first.start();
    await first.stop();
    await starting;
    const second = make();
    await second.start();
    const create = webhookEvent('race.order')(() => Promise.resolve({ id: 1 }), {} as never);
    expect(await create.call({})).toEqual({ id: 1 });
  });

  it('verbs before the start are thrown, and the start works all the same; after the stop they are Errs', async () => {
    const posthorn = make();
    const verbs = [
      () => posthorn.createKey({ tenantId: null, role: 'operator' }),
      () => posthorn.publish('a.b', 1),
      () => posthorn.subscriptions.list(),
      () => posthorn.attempts.list(),
      () => posthorn.deadLetters.count(),
    ];
    for (const verb of verbs) await expect(verb()).rejects.toThrow(/start\(\)/);
    await posthorn.start();
    for (const verb of verbs) expect((await verb()).ok).toBe(true);
    await posthorn.stop();
    for (const verb of verbs) expect(codeOf(await verb())).toBe('shutting-down');
  });

  it('what was stopped is not started again', async () => {
    const posthorn = make();
    await posthorn.stop();
    await expect(posthorn.start()).rejects.toThrow(/stopped/);
    const other = make();
    await other.start();
    await other.stop();
    await expect(other.start()).resolves.toBeUndefined();
  });

  it('a start that fails lets go of the data, of its directory and of decorated methods', async () => {
    const dataDir = folder();
    const bad = make({ store: 'sql', dataDir, events: { 'bad.type': { type: 'nonsense' } } });
    await expect(bad.start()).rejects.toThrow(/schema/i);
    const good = make({ store: 'sql', dataDir });
    await good.start();
    expect(valueOf(await good.publish('a.b', 1)).deliveries).toBe(0);
  });

  it('stop ends while somebody goes on dispatching', { timeout: 20_000 }, async () => {
    const posthorn = make();
    await posthorn.start();
    let isOver = false;
    const codes = new Set<string>();
    const loops = Array.from({ length: 20 }, async () => {
      while (!isOver) {
        const result = await posthorn.publish('a.b', { n: 1 });
        if (!result.ok) codes.add(result.error.code);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await posthorn.publish('a.b', 1);
    const stopped = await Promise.race([
      posthorn.stop().then(() => true),
      new Promise<boolean>((resolve) => setTimeout(resolve, 5_000, false)),
    ]);
    isOver = true;
    await Promise.all(loops);
    expect(stopped).toBe(true);
  });

  it('stop leaves no thread behind while somebody goes on reading', { timeout: 20_000 }, async () => {
    const before = threads();
    const posthorn = make();
    await posthorn.start();
    let isOver = false;
    const loops = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        await posthorn.attempts.list().catch(() => undefined);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await posthorn.stop();
    isOver = true;
    await Promise.all(loops);
    expect(await becomes(() => threads() === before, 2_000)).toBe(true);
  });

  it('memory leaves no directory, started or not', async () => {
    const mine = (): string[] => readdirSync(tmpdir()).filter((name) => /^posthorn-[A-Za-z0-9]{6}$/.test(name));
    const before = new Set(mine());
    createPosthorn({ store: 'memory' });
    expect(() => createPosthorn({ store: 'memory', wireFormat: 'nonsense' })).toThrow();
    const bad = make({ store: 'memory', events: { 'bad.type': { type: 'nonsense' } } });
    await expect(bad.start()).rejects.toThrow();
    expect(mine().filter((name) => !before.has(name) && existsSync(join(tmpdir(), name)))).toEqual([]);
  });
});

describe('what JavaScript callers give', () => {
  it('a subscription without a URL is an Err', async () => {
    const posthorn = make();
    await posthorn.start();
    expect(codeOf(await posthorn.subscriptions.create({} as never))).toBe('invalid-url');
  });

  it('fields of another type are Errs that name them', async () => {
    const posthorn = make();
    await posthorn.start();
    const url = 'http://127.0.0.1:9/';
    for (const [field, value] of [
      ['eventTypes', 'order.created'],
      ['description', 5],
      ['metadata', { a: 1 }],
      ['metadata', { a: null }],
      ['secret', 5],
    ] as const) {
      const result = await posthorn.subscriptions.create({ url, [field]: value });
      const name = field === 'eventTypes' ? 'events' : field;
      expect(result).toMatchObject({ ok: false, error: { code: 'bad-request', fields: [{ field: name }] } });
    }
    expect(codeOf(await posthorn.deliveries.dispatch({ type: 'a.b', id: 5, payload: 1 } as never))).toBe('bad-request');
    const made = valueOf(
      await posthorn.subscriptions.create({ url, metadata: JSON.parse('{"__proto__":"x"}') as Record<string, string> }),
    );
    expect(Object.entries(valueOf(await posthorn.subscriptions.get(made.id)).metadata)).toEqual([['__proto__', 'x']]);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  it('a payload that no JSON can hold is an Err, whatever it throws', async () => {
    const posthorn = make();
    await posthorn.start();
    const thrower = {
      toJSON() {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown here is the case
        throw null;
      },
    };
    const trap = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('no keys for you');
        },
      },
    );
    let deep: unknown = 1;
    for (let i = 0; i < 200; i++) deep = [deep];
    const bad = [1n, thrower, trap, undefined, () => 1, deep, JSON.parse('{"__proto__":1}'), 'half \ud800'];
    for (const payload of bad) expect(codeOf(await posthorn.publish('a.b', payload))).toBe('bad-request');
    expect(codeOf(await posthorn.publish('a.b', 'x'.repeat(17_000_000)))).toBe('payload-too-large');
    const fine = [null, -0, Number.POSITIVE_INFINITY, new Date(0), new Map([[1, 2]]), { a: undefined }, ''];
    for (const payload of fine) expect((await posthorn.publish('a.b', payload)).ok).toBe(true);
  });
});

describe('a decorated method', () => {
  it('whose event goes wrong in any way tells its caller both', async () => {
    const posthorn = make();
    await posthorn.start();
    const decorate = posthorn.webhookEvent('a.b', {
      tenantId: () => {
        throw new Error('no tenant here');
      },
    });
    const method = decorate(() => Promise.resolve({ id: 7 }), {} as never);
    await expect(method.call({})).rejects.toMatchObject({
      name: 'DispatchError',
      returned: { id: 7 },
      failure: { code: 'webhook-error', message: expect.stringContaining('no tenant here') as string },
    });
  });

  it('cannot be a generator', () => {
    const posthorn = make();
    async function* many(): AsyncGenerator<number> {
      yield await Promise.resolve(1);
    }
    expect(() => posthorn.webhookEvent('a.b')(many as never, {} as never)).toThrow(/generator/);
  });
});

describe('fetch', () => {
  it('reads no more of a body than the route takes, and ends its sender', { timeout: 10_000 }, async () => {
    const posthorn = make();
    await posthorn.start();
    const { key } = valueOf(await posthorn.createKey({ tenantId: 'default', role: 'owner' }));
    for (const [headers, status] of [
      [{ authorization: `Bearer ${key}`, 'content-type': 'application/json' }, 413],
      [{ 'content-type': 'application/json' }, 401],
    ] as const) {
      for (const path of ['/v1/events', '/v1/events/batch', '/v1/webhooks']) {
        let pulled = 0;
        let isCancelled = false;
        const body = new ReadableStream<Uint8Array>({
          pull(controller) {
            if (pulled > 100_000_000) controller.close();
            else controller.enqueue(new Uint8Array(65_536).fill(32));
            pulled += 65_536;
          },
          cancel() {
            isCancelled = true;
          },
        });
        const init = { method: 'POST', headers, body, duplex: 'half' } as const;
        const response = await posthorn.fetch(new Request(`http://localhost${path}`, init));
        expect([path, response.status]).toEqual([path, status]);
        expect(pulled).toBeLessThan(20_000_000);
        expect(isCancelled).toBe(true);
      }
    }
  });

  it('with a body that breaks off answers, and takes nothing', async () => {
    const posthorn = make();
    await posthorn.start();
    const { key } = valueOf(await posthorn.createKey({ tenantId: 'default', role: 'owner' }));
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(Buffer.from('{"type":"a.b",'));
        controller.error(new Error('gone'));
      },
    });
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body, duplex: 'half' } as const;
    const answer = posthorn.fetch(new Request('http://localhost/v1/events', init)).then(
      ({ status }) => status,
      () => 'rejected',
    );
    expect([400, 'rejected']).toContain(await answer);
  });

  it('answers 503 while there is no Posthorn, and names no paths', async () => {
    const posthorn = make();
    expect((await posthorn.fetch(new Request('http://localhost/healthz'))).status).toBe(503);
    const dataDir = folder();
    const first = make({ store: 'sql', dataDir });
    await first.start();
    const second = make({ store: 'sql', dataDir });
    await expect(second.start()).rejects.toThrow(dataDir);
    const response = await second.fetch(new Request('http://localhost/healthz'));
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain(dataDir);
    await first.stop();
    expect((await first.fetch(new Request('http://localhost/healthz'))).status).toBe(503);
  });
});
