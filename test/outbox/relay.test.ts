import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, PublishInput } from '../../src/delivery/engine.ts';
import { PosthornError } from '../../src/errors.ts';
import { Relay } from '../../src/outbox/relay.ts';
import type { OutboxRow, OutboxSource } from '../../src/store/outbox.ts';
import { Notices } from '../../src/store/postgres/notices.ts';
import { createPostgresOutbox } from '../../src/store/postgres/outbox.ts';
import { hasPostgres } from '../postgres/server.ts';
import { startDatabase, type OutboxDatabase } from './database.ts';

const eventually = <Value>(ask: () => Value) => expect.poll(ask, { timeout: 15_000, interval: 10 });

/** An engine that notes what it is given, and says what the test wants. */
class NotingEngine {
  readonly published: PublishInput[] = [];
  readonly tenantIds = new Set(['default']);
  answer: (input: PublishInput) => Promise<unknown> = () => Promise.resolve();

  asEngine(): Engine {
    return {
      tenants: {
        find: (id: string) => (this.tenantIds.has(id) ? { id } : null),
        create: async ({ id }: { id: string }) => this.tenantIds.add(id),
      },
      publish: async (_tenantId: string, input: PublishInput) => {
        await this.answer(input);
        this.published.push(input);
      },
    } as unknown as Engine;
  }

  get data(): string[] {
    return this.published.map(({ data }) => data);
  }
}

describe.skipIf(!hasPostgres(18))('the relay from PostgreSQL', () => {
  let database: OutboxDatabase;
  let engine: NotingEngine;
  const relays: Relay[] = [];
  beforeAll(async () => {
    database = await startDatabase();
  }, 60_000);
  afterAll(() => database.stop());
  beforeEach(async () => {
    await Promise.all(relays.splice(0).map((relay) => relay.stop()));
    await database.query('DELETE FROM posthorn.outbox');
    engine = new NotingEngine();
  });

  function source(): OutboxSource {
    return createPostgresOutbox({ connections: database.connections, onHint: () => undefined });
  }

  function relay(from: OutboxSource, options: { createTenants?: boolean } = {}): Relay {
    const made = new Relay({ source: from, name: 'test', engine: engine.asEngine(), createTenants: false, ...options });
    relays.push(made);
    made.start();
    return made;
  }

  async function emitted(count: number): Promise<void> {
    await database.query(`SELECT posthorn.emit('a.b', i::text) FROM generate_series(1, ${count}) i`);
  }

  const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i + 1));

  it('hands on every row once, in the order of the ids, and leaves nothing behind', async () => {
    await emitted(1200);
    relay(source());
    await eventually(() => engine.published.length).toBe(1200);
    expect(engine.data).toEqual(numbers(1200));
    expect(new Set(engine.published.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1200);
    await eventually(() => database.rows()).toEqual([]);
  });

  it('looks by itself where no hint comes', async () => {
    relay(source());
    await emitted(1);
    await eventually(() => engine.data).toEqual(['1']);
  });

  it('comes at once where a transaction that emitted has committed', async () => {
    const hints: (() => void)[] = [];
    const notices = new Notices({
      connections: database.connections,
      call: '',
      onNotice: (notice) => {
        if (notice === 'outbox') for (const hint of hints) hint();
      },
    });
    await notices.start();
    await eventually(() => notices.isHearing).toBe(true);
    const from = createPostgresOutbox({ connections: database.connections, onHint: (hint) => void hints.push(hint) });
    const looks: number[] = [];
    relay({
      ...from,
      pollMs: 3_600_000,
      take: async (...call) => {
        const count = await from.take(...call);
        looks.push(count ?? -1);
        return count;
      },
    });
    await eventually(() => looks).toEqual([0]);
    await emitted(1);
    await eventually(() => engine.data).toEqual(['1']);
    notices.stop();
  });

  it('is one of any number that never take the same rows, nor side by side', async () => {
    let atOnce = 0;
    let most = 0;
    const watched = (): OutboxSource => {
      const from = source();
      return {
        ...from,
        take: (request, publish) =>
          from.take(request, async (rows) => {
            most = Math.max(most, ++atOnce);
            const verdicts = await publish(rows);
            atOnce--;
            return verdicts;
          }),
      };
    };
    const three = [relay(watched()), relay(watched()), relay(watched())];
    for (let i = 0; i < 20; i++) await emitted(100);
    await eventually(() => engine.published.length).toBe(2000);
    await Promise.all(three.map((one) => one.stop()));
    expect(engine.data).toEqual(Array.from({ length: 20 }, () => numbers(100)).flat());
    expect(most).toBe(1);
  });

  it('repeats a take that was cut off, with the same keys', async () => {
    await emitted(3);
    const from = source();
    let cuts = 0;
    relay({
      ...from,
      take: (request, publish) =>
        from.take(request, async (rows) => {
          const verdicts = await publish(rows);
          if (cuts++ === 0) {
            await database.server.query(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'`,
            );
          }
          return verdicts;
        }),
    });
    await eventually(() => engine.published.length).toBe(6);
    const keys = engine.published.map(({ idempotencyKey }) => idempotencyKey);
    expect(keys.slice(3)).toEqual(keys.slice(0, 3));
    await eventually(() => database.rows()).toEqual([]);
  });

  it('goes on elsewhere when a node stops dead in the middle of a take', async () => {
    await emitted(1);
    const { connections } = database;
    const dead = createPostgresOutbox({ connections, onHint: () => undefined, stallMs: 300 });
    let wake = (): void => undefined;
    const took = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const stopped = dead.take({ limit: 1, except: [] }, async () => {
      wake();
      await eventually(() => engine.data).toEqual(['1']);
      return ['done'];
    });
    await took;
    relay(source());
    await expect(stopped).rejects.toThrow(PosthornError);
    expect(engine.data).toEqual(['1']);
  });

  it('sets aside what can never be sent, says why, and goes on with the rest', async () => {
    await database.query(
      `INSERT INTO posthorn.outbox (tenant_id, type, data, occurred_at) VALUES
         ('default', 'a', '{', NULL), ('nobody', 'a', '1', NULL), ('default', 'a', '2', '10000-01-01Z'), ('default', 'a', 'true', NULL)`,
    );
    engine.answer = ({ data }) =>
      data === 'true'
        ? Promise.reject(new PosthornError('UNKNOWN_EVENT_TYPE', 'type: "a" is not in the catalogue'))
        : Promise.resolve();
    relay(source());
    await emitted(5);
    await eventually(() => engine.data).toEqual(numbers(5));
    await eventually(async () => (await database.rows()).map(({ failed_at }) => failed_at !== null)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect((await database.rows()).map(({ error }) => error)).toEqual([
      expect.stringMatching(/^not valid JSON/),
      'tenant: there is no tenant "nobody"; create it, then try again',
      'occurredAt: must be a time in the years 1000 to 9999',
      'type: "a" is not in the catalogue',
    ]);

    // As docs/outbox.md has it.
    engine.tenantIds.add('nobody');
    await database.query(`UPDATE posthorn.outbox SET failed_at = NULL, error = NULL WHERE tenant_id = 'nobody'`);
    await eventually(() => engine.published.length).toBe(6);
    await eventually(async () => (await database.rows()).length).toBe(3);
  });

  it('waits for a tenant of which this node hears a moment later', async () => {
    await database.query(`SELECT posthorn.emit('a', '1', tenant => 'new')`);
    let looks = 0;
    const from = source();
    relay({
      ...from,
      take: (request, publish) =>
        from.take(request, async (rows) => {
          if (looks++ === 1) engine.tenantIds.add('new');
          return publish(rows);
        }),
    });
    await eventually(() => engine.data).toEqual(['1']);
    await eventually(() => database.rows()).toEqual([]);
  });

  it('makes the tenants that events name, where that is allowed', async () => {
    await database.query(`SELECT posthorn.emit('a', '1', tenant => 'new'), posthorn.emit('a', '2', tenant => 'new')`);
    relay(source(), { createTenants: true });
    await eventually(() => engine.data).toEqual(['1', '2']);
    expect(engine.tenantIds).toContain('new');
  });

  it('keeps everything while the store takes nothing, and goes on where it stopped', async () => {
    let refusals = 3;
    engine.answer = () =>
      refusals-- > 0 ? Promise.reject(new PosthornError('STORE_UNAVAILABLE', 'away')) : Promise.resolve();
    await emitted(1);
    relay(source());
    await eventually(() => engine.data).toEqual(['1']);
    expect(refusals).toBeLessThan(0);
    await eventually(() => database.rows()).toEqual([]);
  });

  it('tells when an event was emitted, apart from when it says it occurred', async () => {
    const before = Date.now();
    await database.query(
      `SELECT posthorn.emit('a', '1'), posthorn.emit('a', '2', occurred_at => '2026-01-31T12:00:00.5Z')`,
    );
    relay(source());
    await eventually(() => engine.published.length).toBe(2);
    const [first, second] = engine.published;
    expect(first!.occurredAt).toBeNull();
    expect(first!.emittedAt).toBeGreaterThan(before - 1_000);
    expect(first!.emittedAt).toBeLessThan(Date.now() + 1_000);
    expect(second!.occurredAt).toBe(Date.UTC(2026, 0, 31, 12, 0, 0, 500));
  });

  it('has no more in memory at once than some megabytes', async () => {
    await database.query(`SELECT posthorn.emit('a', to_json(repeat('x', 3000000))) FROM generate_series(1, 7)`);
    const sizes: number[] = [];
    const from = source();
    relay({
      ...from,
      take: (request, publish) =>
        from.take(request, (rows: readonly OutboxRow[]) => {
          sizes.push(rows.length);
          return publish(rows);
        }),
    });
    await eventually(() => engine.published.length).toBe(7);
    expect(Math.max(...sizes)).toBe(3);
  });

  it('stops after the take under way, and tolerates being stopped twice', async () => {
    let finish = (): void => undefined;
    const asked = new Promise<void>((isAsked) => {
      engine.answer = () =>
        new Promise((resolve) => {
          finish = () => {
            resolve(undefined);
          };
          isAsked();
        });
    });
    await emitted(1);
    const one = relay(source());
    await asked;
    const stopping = one.stop();
    finish();
    await Promise.all([stopping, one.stop()]);
    expect(engine.data).toEqual(['1']);
    expect(await database.rows()).toEqual([]);
  });
});

it('tolerates being stopped before it is started', async () => {
  const source: OutboxSource = {
    take: () => Promise.resolve(0),
    onFilled: () => undefined,
    pollMs: 1,
    close: () => undefined,
  };
  const relay = new Relay({ source, name: 'test', engine: new NotingEngine().asEngine(), createTenants: false });
  await relay.stop();
  relay.start();
  await relay.stop();
});
