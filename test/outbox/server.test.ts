import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { emit } from '../../src/outbox/index.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { dataDir, startServer, type Running } from '../e2e/server.ts';
import { hasPostgres, startPostgres, type PostgresServer, type TestDatabase } from '../postgres/server.ts';
import pgModule from 'pg';

const eventually = <Value>(ask: () => Value) => expect.poll(ask, { timeout: 15_000, interval: 10 });

describe.skipIf(!hasPostgres(18))('a Posthorn on the database of an application', () => {
  let server: PostgresServer;
  let database: TestDatabase;
  let receiver: Receiver;
  let client: pg.Client;
  const data = dataDir();
  const nodes: Running[] = [];

  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    data.remove();
  });
  beforeEach(async () => {
    database = await server.createDatabase();
    receiver = await startReceiver();
  });
  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.stop();
    await client.end();
    await receiver.close();
    await database.drop();
  });

  async function startNode(settings: Record<string, string> = {}): Promise<Running> {
    const node = await startServer(data.path, { databaseUrl: database.url, ...settings });
    nodes.push(node);
    return node;
  }

  async function connect(): Promise<void> {
    client = new pgModule.Client({ connectionString: database.url });
    await client.connect();
  }

  async function waiting(): Promise<number> {
    const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM posthorn.outbox');
    return rows[0]!.n;
  }

  async function published(node: Running): Promise<{ id: string; occurredAt: string; createdAt: string }[]> {
    return (await node.call<{ events: never[] }>('GET', '/v1/events')).body.events;
  }

  it('delivers what was committed and nothing that was rolled back', async () => {
    const node = await startNode();
    await connect();
    await node.webhook(receiver.url(), ['*']);
    await client.query('BEGIN');
    await emit(client, { type: 'order.created', data: { n: 1 }, id: 'o-1' });
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await emit(client, { type: 'order.created', data: { n: 2 }, id: 'o-2' });
    await emit(client, { type: 'order.paid', data: { n: 2 }, id: 'o-2-paid' });
    await client.query('COMMIT');
    await receiver.waitForCount(2);
    expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id']))).toEqual(
      new Set(['o-2', 'o-2-paid']),
    );
    expect((await published(node)).map(({ id }) => id)).toEqual(['o-2-paid', 'o-2']);
    await eventually(waiting).toBe(0);
  });

  it('is told of a commit: half of the events arrive within 50 ms', async () => {
    const node = await startNode();
    await connect();
    await node.webhook(receiver.url(), ['*']);
    const delaysMs: number[] = [];
    for (let i = 1; i <= 20; i++) {
      await emit(client, { type: 'order.created', data: i });
      const committedAt = performance.now();
      await receiver.waitForCount(i);
      delaysMs.push(performance.now() - committedAt);
      // Idle for longer than it looks again by itself after an event.
      await eventually(waiting).toBe(0);
    }
    delaysMs.sort((a, b) => a - b);
    expect(delaysMs[10]).toBeLessThan(50);
  });

  it('takes events that were emitted while no Posthorn ran, dated as they were emitted', async () => {
    const first = await startNode();
    await connect();
    await first.webhook(receiver.url(), ['*']);
    await nodes.pop()!.stop();
    const before = Date.now();
    await emit(client, { type: 'order.created', data: 1 });
    const after = Date.now();
    expect(await waiting()).toBe(1);
    const second = await startNode();
    await receiver.waitForCount(1);
    const [event] = await published(second);
    expect(Date.parse(event!.occurredAt)).toBeGreaterThanOrEqual(before - 1_000);
    expect(Date.parse(event!.occurredAt)).toBeLessThanOrEqual(after + 1_000);
    expect(Date.parse(event!.createdAt)).toBeGreaterThanOrEqual(Date.parse(event!.occurredAt));
  });

  it('of which several nodes run stores each event once, in the order of its session', async () => {
    const [node] = [await startNode(), await startNode({ role: 'api' }), await startNode({ role: 'deliver' })];
    await connect();
    for (let i = 0; i < 300; i++) await emit(client, { type: 'order.created', data: i, id: `o-${i}` });
    await eventually(waiting).toBe(0);
    const { rows } = await client.query<{ own_id: string }>('SELECT own_id FROM posthorn.events ORDER BY id');
    expect(rows.map(({ own_id }) => own_id)).toEqual(Array.from({ length: 300 }, (_, i) => `o-${i}`));
    expect(await published(node)).not.toEqual([]);
  });

  it('takes one own id for one event, however often and by whatever way it comes', async () => {
    const node = await startNode();
    await connect();
    const event = { type: 'order.created', data: { n: 1 }, id: 'o-1' };
    await node.event(event.type, event.data, { id: event.id });
    await emit(client, event);
    await emit(client, event);
    await eventually(waiting).toBe(0);
    expect(await published(node)).toHaveLength(1);
    await emit(client, { ...event, data: { n: 2 } });
    await eventually(
      async () => (await client.query<{ error: string }>('SELECT error FROM posthorn.outbox')).rows[0]?.error,
    ).toMatch(/was used before with another body/);
  });

  it('sets aside events of tenants that it may not make', async () => {
    await startNode({ createTenants: 'false' });
    await connect();
    await emit(client, { type: 'order.created', data: 1, tenant: 'nobody' });
    await eventually(
      async () => (await client.query<{ error: string }>('SELECT error FROM posthorn.outbox')).rows[0]?.error,
    ).toBe('tenant: there is no tenant "nobody"; create it, then try again');
  });
});
