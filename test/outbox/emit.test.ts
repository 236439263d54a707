import Database from 'better-sqlite3';
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js';
import createKnex from 'knex';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readPublish } from '../../src/api/publish-request.ts';
import { createOutboxTable, emit, PosthornError, type OutboxEvent } from '../../src/outbox/index.ts';
import { hasPostgres } from '../postgres/server.ts';
import { startDatabase, type OutboxDatabase } from './database.ts';

const whole: Required<OutboxEvent> = {
  type: 'order.created',
  data: { b: 'é\u0000"\\', a: [1, null], at: new Date(0) },
  tenant: 'acme',
  id: "o'1",
  occurredAt: new Date('2026-01-31T12:00:00.123Z'),
  category: 'orders',
  group: 'g?$1',
  source: 'shop',
};
const stored = {
  type: 'order.created',
  data: JSON.stringify(whole.data),
  tenant_id: 'acme',
  own_id: "o'1",
  occurred_at: whole.occurredAt,
  category: 'orders',
  group_key: 'g?$1',
  source: 'shop',
};

describe.skipIf(!hasPostgres(18))('emit in a transaction of', () => {
  let database: OutboxDatabase;
  let pool: pg.Pool;
  let sql: postgres.Sql;
  beforeAll(async () => {
    database = await startDatabase();
    pool = new pg.Pool({ connectionString: database.url });
    sql = postgres(database.url, { max: 2 });
  }, 60_000);
  afterAll(async () => {
    await pool.end();
    await sql.end();
    await database.stop();
  });
  beforeEach(async () => {
    await database.query('DELETE FROM posthorn.outbox');
  });

  type Work = (emitIn: (tx: Parameters<typeof emit>[0]) => Promise<void>) => Promise<void>;
  /** Runs a transaction that emits, once to its end and once until it throws behind the emit. */
  const drivers: Record<string, { transaction: Work; outside: () => [object, RegExp] | null }> = {
    pg: {
      async transaction(work) {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          await work(client);
          await client.query('COMMIT');
        } catch (error) {
          await client.query('ROLLBACK');
          throw error;
        } finally {
          client.release();
        }
      },
      outside: () => [pool, /this pg object is no transaction.*the client that pool\.connect\(\) gives/],
    },
    'postgres.js': {
      transaction: async (work) => {
        await sql.begin((tx) => work(tx));
      },
      outside: () => [sql, /this postgres\.js object is no transaction.*sql\.begin/],
    },
    Kysely: {
      transaction: (work) => kysely().transaction().execute(work),
      outside: () => [kysely(), /this Kysely object is no transaction.*db\.transaction\(\)\.execute/],
    },
    'Drizzle on node-postgres': {
      transaction: (work) => drizzle(pool).transaction(work),
      outside: () => [drizzle(pool), /this Drizzle object is no transaction.*db\.transaction/],
    },
    'Drizzle on postgres.js': {
      transaction: (work) => drizzlePostgresJs(sql).transaction(work),
      outside: () => [drizzlePostgresJs(sql), /this Drizzle object is no transaction/],
    },
    Knex: {
      transaction: async (work) => {
        const knex = createKnex({ client: 'pg', connection: database.url });
        await knex.transaction(work).finally(() => knex.destroy());
      },
      outside: () => [createKnex({ client: 'pg' }), /this Knex object is no transaction.*knex\.transaction/],
    },
    'a function that runs SQL': {
      transaction: (work) =>
        drizzle(pool).transaction((tx) =>
          work((text: string, values: readonly unknown[]) =>
            tx.execute(drizzleSql.raw(text.replaceAll(/\$(\d+)/g, (_, n) => quote(values[Number(n) - 1])))),
          ),
        ),
      outside: () => null,
    },
  };

  function kysely(): Kysely<unknown> {
    return new Kysely({ dialect: new PostgresDialect({ pool }) });
  }

  function quote(value: unknown): string {
    return value === null ? 'NULL' : `'${(value as string).replaceAll("'", "''")}'`;
  }

  describe.each(Object.entries(drivers))('%s', (_name, { transaction, outside }) => {
    it('stores an event with all it has if the transaction commits', async () => {
      await transaction(async (tx) => {
        await emit(tx, whole);
      });
      expect(await database.rows()).toMatchObject([stored]);
    });

    it('stores nothing if it rolls back', async () => {
      const failed = transaction(async (tx) => {
        await emit(tx, whole);
        throw new Error('changed my mind');
      });
      await expect(failed).rejects.toThrow('changed my mind');
      expect(await database.rows()).toEqual([]);
    });

    it('lets the transaction go on behind an event that is refused', async () => {
      await transaction(async (tx) => {
        await expect(emit(tx, { type: 'not a type', data: 1 })).rejects.toThrow(PosthornError);
        await emit(tx, { type: 'a.b', data: 1 });
      });
      expect(await database.rows()).toMatchObject([{ type: 'a.b', data: '1', tenant_id: 'default' }]);
    });

    it('refuses what would not be in the transaction', async () => {
      const given = outside();
      if (given === null) return;
      await expect(emit(given[0] as never, whole)).rejects.toThrow(given[1]);
      expect(await database.rows()).toEqual([]);
    });
  });

  it('uses the schema it is told', async () => {
    const seen: string[] = [];
    await emit((text: string) => void seen.push(text), { type: 'a', data: 1 }, { schema: 'my "hooks"' });
    expect(seen).toEqual([expect.stringContaining('SELECT "my ""hooks""".emit($1::text')]);
  });
});

describe('emit in a transaction of better-sqlite3', () => {
  function open(): Database.Database {
    const db = new Database(':memory:');
    createOutboxTable(db);
    createOutboxTable(db);
    return db;
  }

  it('is done when it returns: stored if the transaction commits', () => {
    const db = open();
    const before = Date.now();
    expect(db.transaction(() => emit(db, whole))()).toBeUndefined();
    const [row] = db.prepare('SELECT * FROM posthorn_outbox').all() as Record<string, unknown>[];
    expect(row).toMatchObject({ ...stored, occurred_at: whole.occurredAt!.getTime(), failed_at: null });
    expect(row!.created_at).toBeGreaterThanOrEqual(before - 1);
    expect(row!.created_at).toBeLessThanOrEqual(Date.now() + 1);
  });

  it('stores nothing if it rolls back, as it does where the event is refused', () => {
    const db = open();
    const run = (event: OutboxEvent, then?: Error): void =>
      db.transaction(() => {
        emit(db, { type: 'a', data: 1 });
        emit(db, event);
        if (then) throw then;
      })();
    expect(() => {
      run(whole, new Error('changed my mind'));
    }).toThrow('changed my mind');
    expect(() => {
      run({ type: 'not a type', data: 1 });
    }).toThrow(/^type: must be/);
    expect(db.prepare('SELECT * FROM posthorn_outbox').all()).toEqual([]);
  });
});

describe('emit refuses before any SQL', () => {
  const never = (): never => {
    throw new Error('SQL was run');
  };
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  let deep: unknown = 1;
  for (let i = 0; i < 101; i++) deep = [deep];

  it.each([
    ['no event', null, /^event: must be an object/],
    ['a type with a space', { type: 'a b', data: 1 }, /^type: must be a name like/],
    ['no type', { data: 1 }, /^type: must be a name like/],
    ['no data', { type: 'a' }, /^data: is missing/],
    ['a function for data', { type: 'a', data: () => 1 }, /^data: is missing/],
    ['a BigInt', { type: 'a', data: { n: 1n } }, /^data: cannot be written as JSON: .*BigInt/],
    ['a cycle', { type: 'a', data: cycle }, /^data: cannot be written as JSON: .*circular/],
    ['half a surrogate pair', { type: 'a', data: '\ud800' }, /^data: cannot be sent: .*surrogate/],
    ['a member __proto__', { type: 'a', data: JSON.parse('{"__proto__":1}') as unknown }, /^data: .*__proto__/],
    ['what is nested too deeply', { type: 'a', data: deep }, /^data: cannot be sent: nested deeper/],
    ['what is too large', { type: 'a', data: 'x'.repeat(16 * 1024 * 1024) }, /^data: takes 16777218 characters/],
    ['a tenant that is none', { type: 'a', data: 1, tenant: '-' }, /^tenant: must be/],
    ['an id with a full stop', { type: 'a', data: 1, id: 'a.b' }, /^id: must be/],
    ['an id of ours', { type: 'a', data: 1, id: 'EVT_1' }, /^id: must not begin with "evt_"/],
    ['a date that is none', { type: 'a', data: 1, occurredAt: new Date(NaN) }, /^occurredAt: must be a valid Date/],
    ['a date in the year 10000', { type: 'a', data: 1, occurredAt: new Date(253402300800000) }, /^occurredAt: /],
    ['a text for a date', { type: 'a', data: 1, occurredAt: '2026-01-01' }, /^occurredAt: must be a valid Date/],
    ['an empty category', { type: 'a', data: 1, category: '' }, /^category: must be/],
    ['a group with a line break', { type: 'a', data: 1, group: 'a\n' }, /^group: must be/],
    ['a source too long', { type: 'a', data: 1, source: 'x'.repeat(257) }, /^source: must be/],
    ['a field that is not known', { type: 'a', data: 1, groupe: 'x' }, /^groupe: is not known; did you mean "group"\?/],
  ])('%s', async (_what, event, says) => {
    const refused = await emit(never, event as OutboxEvent).then(
      () => null,
      (error: unknown) => error as PosthornError,
    );
    expect(refused).toBeInstanceOf(PosthornError);
    expect(refused!.message).toMatch(says);
  });

  it.each([null, undefined, 'a', {}, { query: 1 }])('%j for a transaction', async (tx) => {
    await expect(emit(tx as never, { type: 'a', data: 1 })).rejects.toThrow(/the first argument is no transaction/);
  });

  it('nothing that publishing would take, and takes nothing that it would refuse', async () => {
    const texts = [
      '',
      'a',
      'a.b',
      'A-_9',
      'a..b',
      '.a',
      ' a',
      'evt_1',
      'Evt_',
      'evt',
      '~!',
      'é',
      'a\u007f',
      'x'.repeat(128),
      'x'.repeat(129),
      'x'.repeat(257),
      '😀'.repeat(256),
      null,
    ];
    for (const field of ['type', 'id', 'category', 'group', 'source']) {
      for (const text of texts) {
        const event = { type: 'a', data: 1, [field]: text };
        const emitted = await emit(() => undefined, event).then(
          () => 'taken',
          () => 'refused',
        );
        let published = 'taken';
        try {
          readPublish(event, JSON.stringify(event), 0, '');
        } catch {
          published = 'refused';
        }
        expect(emitted, `${field} ${JSON.stringify(text)}`).toBe(published);
      }
    }
  });
});
