import { afterEach, describe, expect, it } from 'vitest';
import type { ImportInput } from '../../src/delivery/engine.ts';
import { publicEndpointId } from '../../src/delivery/message.ts';
import { toUuid } from '../../src/model/id.ts';
import { profiles } from '../../src/model/profile.ts';
import { becomes, cleanUp, counts, publish, rig } from '../attack/engine-rig.ts';

afterEach(cleanUp);

const url = 'http://127.0.0.1:9/hook';
const some = { url, events: ['*'] };
const SECRET = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
const OLD_SECRET = `whsec_${Buffer.alloc(24, 2).toString('base64')}`;
const UUID = '6ba7b810-9dad-41d1-80b4-00c04fd430c8';

describe('a creation with an idempotency key', () => {
  it('makes one endpoint, however often it comes, also at once and after a start', async () => {
    const r = await rig();
    const create = () => r.engine.endpoints.create('default', some, { idempotencyKey: 'once' });
    const made = await Promise.all(Array.from({ length: 20 }, create));
    expect(new Set(made.map(({ endpoint }) => endpoint.id)).size).toBe(1);
    expect(new Set(made.map(({ secret }) => secret)).size).toBe(1);
    expect(made.filter(({ replayed }) => !replayed)).toHaveLength(1);
    await r.restart();
    expect(await create()).toMatchObject({
      endpoint: { id: made[0]!.endpoint.id },
      secret: made[0]!.secret,
      replayed: true,
    });
    expect(r.engine.endpoints.list('default')).toHaveLength(1);
    const other = await r.engine.endpoints.create('default', some, { idempotencyKey: 'twice' });
    expect(other.replayed).toBe(false);
  });

  it('answers with the first secret while it signs, and shows no newer one after that', async () => {
    const { engine } = await rig();
    const create = () => engine.endpoints.create('default', some, { idempotencyKey: 'once' });
    const { endpoint, secret } = await create();
    await new Promise((resolve) => setTimeout(resolve, 2)); // a secret of another millisecond
    const rotated = await engine.endpoints.rotateSecret('default', endpoint.id);
    await engine.endpoints.update('default', endpoint.id, { description: 'as it is now' });
    expect(await create()).toMatchObject({ secret, replayed: true, endpoint: { description: 'as it is now' } });
    const last = await engine.endpoints.rotateSecret('default', endpoint.id, { graceMs: 0 });
    expect(last.secret).not.toBe(rotated.secret);
    await expect(create()).rejects.toThrow('secret has been changed since');
  });

  it('is a conflict with another body, another secret, or after the endpoint was deleted, and says which', async () => {
    const { engine } = await rig();
    const create = (more: object) =>
      engine.endpoints.create('default', { ...some, secret: SECRET, ...more }, { idempotencyKey: 'once' });
    const { endpoint } = await create({});
    await expect(create({ events: ['a'] })).rejects.toThrow('used before with another body');
    await expect(create({ metadata: { a: 'b' } })).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
    await expect(create({ secret: OLD_SECRET })).rejects.toThrow('used before with another secret');
    await expect(create({ secret: null })).rejects.toThrow('used before with another body');
    expect((await create({})).replayed).toBe(true);
    await engine.endpoints.remove('default', endpoint.id);
    await expect(create({})).rejects.toThrow('deleted since');
  });

  it.each(['', 'a b', 'ä', 'x'.repeat(257)])('refuses the key %j', async (idempotencyKey) => {
    const { engine } = await rig();
    await expect(engine.endpoints.create('default', some, { idempotencyKey })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      fields: [{ field: 'Idempotency-Key' }],
    });
  });
});

describe('the wire format of a new endpoint', () => {
  it('is its own, else that of the face, else of the tenant, else of the instance; a preset brings its profile', async () => {
    const { engine } = await rig();
    await engine.tenants.create({ id: 't', wireFormat: 'grantex' });
    const made = async (tenantId: string, own: object, face: string | null) =>
      (await engine.endpoints.create(tenantId, { ...some, ...own }, { wireFormat: face })).endpoint;
    expect(await made('t', { wireFormat: 'lexigram' }, 'grantiva')).toMatchObject({
      wireFormat: 'lexigram',
      ...profiles['lexigram'],
    });
    expect(await made('t', {}, 'grantiva')).toMatchObject({ wireFormat: 'grantiva', ...profiles['grantiva'] });
    expect(await made('t', {}, null)).toMatchObject({ wireFormat: 'grantex', ...profiles['grantex'] });
    const plain = { retryScheduleMs: null, timeoutMs: null };
    expect(await made('default', {}, null)).toMatchObject({ wireFormat: 'standard', ...plain });
    expect(await made('default', {}, 'gravv')).toMatchObject({ wireFormat: 'gravv', ...plain });
    const own = { retryScheduleMs: [1000], timeoutMs: 700 };
    const endpoint = await made('t', own, null);
    expect(endpoint).toMatchObject({ wireFormat: 'grantex', ...own });
    const changed = await engine.endpoints.update('t', endpoint.id, { wireFormat: 'grantiva' });
    expect(changed).toMatchObject({ wireFormat: 'grantiva', ...own });
  });
});

describe('an imported endpoint', () => {
  const full: ImportInput = {
    ...some,
    secret: SECRET,
    previousSecret: OLD_SECRET,
    isActive: false,
    createdAt: Date.UTC(2020, 1, 1),
  };

  it('keeps id, secrets, state and age, and is found by every spelling, also after a start', async () => {
    const r = await rig();
    const expiresAt = Date.now() + 3_600_000;
    const ids = [
      UUID,
      `wh_${'01JXYZ0000ABCDEFGHJKMNPQRS'}`,
      '01JXYZ0000ABCDEFGHJKMNPQRV',
      'wh_01jxyz0000abcdefghjkmnpqrt',
      'hook/7?',
    ];
    for (const id of ids) {
      const imported = await r.engine.endpoints.import(
        'default',
        { ...full, id, previousSecretExpiresAt: expiresAt },
        { dryRun: false },
      );
      expect(imported.status).toBe('created');
    }
    const check = (): void => {
      for (const id of ids) {
        expect(r.engine.endpoints.get('default', id)).toMatchObject({
          isActive: false,
          disabledReason: 'by_user',
          createdAt: full.createdAt,
          secrets: [
            { value: SECRET, expiresAt: null },
            { value: OLD_SECRET, expiresAt },
          ],
        });
      }
      const shown = ids.map((id) => publicEndpointId(r.engine.endpoints.get('default', id)));
      expect(shown.slice(1)).toEqual(ids.slice(1));
      expect(toUuid(r.engine.endpoints.get('default', UUID).id)).toBe(UUID);
      expect(r.engine.endpoints.get('default', shown[0]!).id).toBe(
        r.engine.endpoints.get('default', UUID.toUpperCase()).id,
      );
      expect(r.engine.endpoints.find('hook/7?')?.ownId).toBe('hook/7?');
    };
    check();
    await r.restart();
    check();
  });

  it('can be changed, sent to and deleted by its own id, which is free again then', async () => {
    const { engine, receiver } = await rig();
    const input = { ...some, url: receiver.url(), id: 'mine' };
    await engine.endpoints.import('default', input, { dryRun: false });
    await engine.endpoints.update('default', 'mine', { description: 'x' });
    await publish(engine, 'a');
    await receiver.waitForCount(1);
    expect(await becomes(async () => (await counts(engine)).delivered === 1, 2000)).toBe(true);
    const [row] = await engine.deliveries.list({ tenantId: 'default' }, { limit: 1, before: null });
    expect(row).toMatchObject({ endpointOwnId: 'mine', endpointUrl: receiver.url() });
    await engine.endpoints.remove('default', 'mine');
    expect(() => engine.endpoints.get('default', 'mine')).toThrow('There is no webhook "mine" here.');
    expect(engine.endpoints.find('mine')).toBeNull();
    expect((await engine.endpoints.import('default', input, { dryRun: false })).status).toBe('created');
  });

  it.each([UUID, 'mine'])(
    'is left as it is when it comes again the same, and refused when it differs: %s',
    async (id) => {
      const { engine } = await rig();
      const again = (more: Partial<ImportInput> = {}, dryRun = false) =>
        engine.endpoints.import('default', { ...full, id, ...more }, { dryRun });
      expect((await again()).status).toBe('created');
      expect((await again()).status).toBe('exists');
      expect((await again({}, true)).status).toBe('exists');
      expect((await again({ description: 'not compared', secret: null, previousSecret: null })).status).toBe('exists');
      for (const other of [
        { url: 'http://127.0.0.1:9/other' },
        { events: ['a'] },
        { isActive: true },
        { secret: OLD_SECRET, previousSecret: null },
        { previousSecret: null },
      ]) {
        for (const dryRun of [true, false]) {
          await expect(again(other, dryRun)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
        }
      }
      expect(engine.endpoints.list('default')).toHaveLength(1);
    },
  );

  it('made twice at once is made once', async () => {
    const { engine } = await rig();
    const statuses = await Promise.all(
      Array.from(
        { length: 5 },
        async () => (await engine.endpoints.import('default', { ...full, id: 'x' }, { dryRun: false })).status,
      ),
    );
    expect(statuses.sort()).toEqual(['created', 'exists', 'exists', 'exists', 'exists']);
  });

  it('cannot take the id of another tenant, nor one that was deleted; an own id is each tenant’s own', async () => {
    const { engine } = await rig();
    await engine.tenants.create({ id: 'other' });
    const into = (tenantId: string, id: string, dryRun = false) =>
      engine.endpoints.import(tenantId, { ...some, secret: SECRET, id }, { dryRun });
    await into('default', UUID);
    await into('default', 'mine');
    const refused = 'belongs, or belonged, to another webhook';
    for (const dryRun of [true, false]) await expect(into('other', UUID, dryRun)).rejects.toThrow(refused);
    expect((await into('other', 'mine')).status).toBe('created');
    expect(engine.endpoints.find('mine')).toBeNull();
    expect(engine.endpoints.get('other', 'mine').id).not.toBe(engine.endpoints.get('default', 'mine').id);
    await engine.endpoints.remove('default', UUID);
    for (const dryRun of [true, false]) await expect(into('default', UUID, dryRun)).rejects.toThrow(refused);
  });

  it.each<[Partial<ImportInput>, string]>([
    [{ id: 'with space' }, 'id'],
    [{ id: '' }, 'id'],
    [{ id: 'x'.repeat(129) }, 'id'],
    [{ url: 'nonsense' }, 'url'],
    [{ secret: 'not base64!' }, 'secret'],
    [{ secret: SECRET, previousSecret: 'no' }, 'previousSecret'],
    [{ previousSecret: SECRET }, 'secret'],
    [{ previousSecretExpiresAt: 1 }, 'previousSecretExpiresAt'],
    [{ createdAt: Date.now() + 86_400_000 }, 'createdAt'],
    [{ createdAt: Number.NaN }, 'createdAt'],
  ])('that makes no sense is refused, in a dry run too: %j', async (more, field) => {
    const { engine } = await rig();
    for (const dryRun of [true, false]) {
      await expect(engine.endpoints.import('default', { ...some, ...more }, { dryRun })).rejects.toMatchObject({
        fields: [{ field }],
      });
    }
  });

  it('is not stored by a dry run', async () => {
    const { engine } = await rig();
    expect((await engine.endpoints.import('default', { ...full, id: 'x' }, { dryRun: true })).status).toBe('created');
    expect(engine.endpoints.list('default')).toEqual([]);
  });

  it('gets every event, in whatever order the ids of a fan-out stand', { timeout: 30_000 }, async () => {
    const { engine, receiver } = await rig();
    await Promise.all(
      Array.from({ length: 2500 }, (_, i) =>
        engine.endpoints.import(
          'default',
          { url: receiver.url(), events: ['a'], id: crypto.randomUUID(), createdAt: i },
          { dryRun: false },
        ),
      ),
    );
    await publish(engine, 'a');
    expect(await becomes(async () => (await counts(engine)).delivered === 2500, 15_000)).toBe(true);
    expect(receiver.requests).toHaveLength(2500);
  });
});

describe('the list of endpoints', () => {
  it('is newest first by creation, then by id, and follows every change', async () => {
    const { engine } = await rig();
    const old = await engine.endpoints.import('default', { ...some, id: UUID, createdAt: 1000 }, { dryRun: false });
    const older = await engine.endpoints.import('default', { ...some, createdAt: 999 }, { dryRun: false });
    const a = await engine.endpoints.create('default', some);
    const b = await engine.endpoints.create('default', some);
    const ids = () => engine.endpoints.list('default').map(({ id }) => id);
    expect(ids()).toEqual([b.endpoint.id, a.endpoint.id, old.endpoint.id, older.endpoint.id]);
    await engine.endpoints.update('default', a.endpoint.id, { description: 'changed' });
    expect(engine.endpoints.list('default')[1]!.description).toBe('changed');
    await engine.endpoints.remove('default', b.endpoint.id);
    expect(ids()).toEqual([a.endpoint.id, old.endpoint.id, older.endpoint.id]);
    expect(engine.endpoints.list('nobody')).toEqual([]);
  });

  it(
    'of ten thousand is there at once, and one more is made as quickly as the first',
    { timeout: 60_000 },
    async () => {
      const { engine } = await rig();
      for (let i = 0; i < 20; i++) {
        await Promise.all(Array.from({ length: 500 }, () => engine.endpoints.create('default', some)));
      }
      const createMs: number[] = [];
      for (let i = 0; i < 20; i++) {
        const startedAt = performance.now();
        await engine.endpoints.create('default', some);
        createMs.push(performance.now() - startedAt);
      }
      engine.endpoints.list('default');
      const startedAt = performance.now();
      for (let i = 0; i < 100; i++) engine.endpoints.list('default');
      const listMs = (performance.now() - startedAt) / 100;
      // The aims are 2 ms and 5 ms; a busy machine gets some more.
      expect(listMs).toBeLessThan(2);
      expect(createMs.sort((x, y) => x - y)[10]!).toBeLessThan(20);
    },
  );
});

describe('public keys', () => {
  it('are those of the secrets that sign, newest first, by the id alone; HMAC has none', async () => {
    const { engine } = await rig();
    await engine.tenants.create({ id: 'other' });
    const { endpoint } = await engine.endpoints.create('other', { ...some, wireFormat: 'standard-ed25519' });
    const [first] = engine.endpoints.publicKeys(`wh_${endpoint.id}`);
    expect(first).toMatchObject({ key: expect.stringMatching(/^whpk_/), expiresAt: null });
    await engine.endpoints.rotateSecret('other', endpoint.id);
    const keys = engine.endpoints.publicKeys(toUuid(endpoint.id));
    expect(keys).toHaveLength(2);
    expect(keys[0]!.key).not.toBe(first!.key);
    expect(keys[1]).toMatchObject({ key: first!.key, expiresAt: expect.any(Number) });
    const hmac = await engine.endpoints.create('default', some);
    expect(engine.endpoints.publicKeys(`wh_${hmac.endpoint.id}`)).toEqual([]);
    expect(() => engine.endpoints.publicKeys('wh_01JXYZ0000ABCDEFGHJKMNPQRS')).toThrow('There is no webhook');
  });
});

describe('a test delivery', () => {
  it('carries the delivery id it is given', async () => {
    const { engine, receiver } = await rig();
    const made = { url: receiver.url(), events: ['*'], wireFormat: 'grantiva' };
    const { endpoint } = await engine.endpoints.create('default', made);
    const result = await engine.endpoints.test('default', endpoint.id, { deliveryUuid: `test-${UUID}`, type: 'a.b' });
    expect(result.succeeded).toBe(true);
    expect(receiver.requests[0]!.headers).toMatchObject({
      'x-grantiva-delivery': `test-${UUID}`,
      'x-grantiva-event': 'a.b',
    });
  });
});

describe('a change of URL', () => {
  it('sends at once what the old one had asked to wait for', async () => {
    const { engine, receiver } = await rig();
    receiver.answer('/busy', (_, response) => response.writeHead(429, { 'retry-after': '3600' }).end());
    const made = { url: receiver.url('/busy'), events: ['*'], concurrency: 1 };
    const { endpoint } = await engine.endpoints.create('default', made);
    for (let i = 0; i < 20; i++) await publish(engine, 'a');
    await receiver.waitForCount(1);
    expect(await becomes(async () => (await counts(engine)).pending > 10, 3000)).toBe(true);
    await engine.endpoints.update('default', endpoint.id, { url: receiver.url('/new') });
    expect(await becomes(async () => (await counts(engine)).delivered === 20, 5000)).toBe(true);
  });
});

describe('creations of one name at once', () => {
  it('make one tenant and one event type, and only one of them believes that it did', async () => {
    const { engine } = await rig();
    const tenants = await Promise.allSettled(
      ['a', 'b', 'c'].map((name) => engine.tenants.create({ id: 'x', name }, { mustBeNew: true })),
    );
    expect(tenants.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect(await engine.tenants.create({ id: 'x', name: 'd' })).toMatchObject({ name: 'a' });
    const types = await Promise.allSettled(
      ['a', 'b'].map((description) => engine.eventTypes.put({ name: 'x.y', description }, { mustBeNew: true })),
    );
    expect(types).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'ALREADY_EXISTS' } }]);
    expect(engine.eventTypes.get('x.y').description).toBe('a');
  });
});
