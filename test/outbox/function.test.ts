import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasPostgres } from '../postgres/server.ts';
import { startDatabase, type OutboxDatabase } from './database.ts';

describe.each([14, 18] as const)('posthorn.emit on PostgreSQL %i', (version) => {
  let database: OutboxDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    if (!hasPostgres(version)) return;
    database = await startDatabase({ version });
    client = await database.client();
  }, 60_000);
  afterAll(async () => {
    await database?.stop();
  });

  /** What one call stored. */
  async function stored(call: string): Promise<Record<string, unknown>> {
    const { rows } = await client.query<{ emit: string }>(`SELECT posthorn.emit(${call})`);
    const [row] = await database.query('SELECT * FROM posthorn.outbox WHERE id = $1', [rows[0]!.emit]);
    return row!;
  }

  it.skipIf(!hasPostgres(version))(
    'keeps text and json byte for byte, and takes jsonb as PostgreSQL writes it',
    async () => {
      const text = '{"b":1,  "a":1.50}';
      expect(await stored(`'a.b', '${text}'`)).toMatchObject({ type: 'a.b', data: text, tenant_id: 'default' });
      expect(await stored(`'a.b', '${text}'::json`)).toMatchObject({ data: text });
      expect(await stored(`'a.b', '${text}'::jsonb`)).toMatchObject({ data: '{"a": 1.50, "b": 1}' });
    },
  );

  it.skipIf(!hasPostgres(version))('takes everything else by name', async () => {
    const call = `'a.b', '1', tenant => 'acme', id => 'o-1', occurred_at => '2026-01-31T12:00:00Z', category => 'c',
      group_key => 'g', source => 's'`;
    expect(await stored(call)).toMatchObject({
      tenant_id: 'acme',
      own_id: 'o-1',
      occurred_at: new Date('2026-01-31T12:00:00Z'),
      category: 'c',
      group_key: 'g',
      source: 's',
      failed_at: null,
      error: null,
    });
  });

  it.skipIf(!hasPostgres(version)).each([
    [`NULL, '{}'`, /type: must be a name like/],
    [`'a b', '{}'`, /type: must be a name like/],
    [`'a..b', '{}'`, /type: must be a name like/],
    [`repeat('a', 129), '{}'`, /type: must be a name like/],
    [`'a', NULL`, /data: is missing/],
    [`'a', '{'`, /invalid input syntax for type json/],
    [`'a', to_json(repeat('a', 16777216))`, /data: has more than 16 MiB/],
    [`'a', '{}', ''`, /tenant: must be/],
    [`'a', '{}', NULL`, /tenant: must be/],
    [`'a', '{}', id => 'evt_1'`, /id: must be/],
    [`'a', '{}', id => 'a.b'`, /id: must be/],
    [`'a', '{}', id => ''`, /id: must be/],
    [`'a', '{}', occurred_at => 'infinity'`, /occurred_at: must be in the years/],
    [`'a', '{}', occurred_at => '0999-12-31Z'`, /occurred_at: must be in the years/],
    [`'a', '{}', category => ''`, /category: must be 1 to 256 characters/],
    [`'a', '{}', group_key => repeat('é', 257)`, /group_key: must be 1 to 256 characters/],
    [`'a', '{}', source => E'a\\nb'`, /source: must be 1 to 256 characters/],
  ])('refuses (%s)', async (call, says) => {
    await expect(client.query(`SELECT posthorn.emit(${call})`)).rejects.toThrow(says);
  });

  it.skipIf(!hasPostgres(version))(
    'needs USAGE on the schema and EXECUTE on the function, and gives nothing else away',
    async () => {
      await database.server.query(
        'CREATE ROLE app LOGIN; CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA posthorn TO app',
      );
      const app = await database.client('app');
      const stranger = await database.client('stranger');
      const call = `SELECT posthorn.emit('a.b', '{}')`;
      await expect(stranger.query(call)).rejects.toThrow(/permission denied for schema/);
      await expect(app.query(call)).rejects.toThrow(/permission denied for function emit/);
      await database.server.query('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA posthorn TO app');
      await app.query(call);
      await app.query(`SELECT posthorn.emit('a.b', '{}'::jsonb)`);
      await expect(app.query('SELECT * FROM posthorn.outbox')).rejects.toThrow(/permission denied for table/);
      await expect(
        app.query(`INSERT INTO posthorn.outbox (tenant_id, type, data) VALUES ('a', 'b', '1')`),
      ).rejects.toThrow(/permission denied for table/);
      await expect(app.query('SELECT * FROM posthorn.events')).rejects.toThrow(/permission denied/);
    },
  );

  it.skipIf(!hasPostgres(version))('is not led astray by what its caller puts into the search path', async () => {
    const app = await database.client();
    await app.query(`CREATE SCHEMA trap; CREATE TABLE trap.outbox (id int);
      CREATE FUNCTION trap.hashtextextended(text, bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
      SET search_path = trap, pg_catalog`);
    await app.query(`SELECT posthorn.emit('a.b', '"safe"')`);
    expect((await database.rows()).at(-1)).toMatchObject({ data: '"safe"' });
  });
});

describe.skipIf(!hasPostgres(18))('transactions that emit', () => {
  let database: OutboxDatabase;
  beforeAll(async () => {
    database = await startDatabase({ schema: 'Hooks-1' });
  });
  afterAll(() => database.stop());

  it('tell who listens, in a schema of any name, once they commit and not when they roll back', async () => {
    const listener = await database.client();
    const heard: (string | undefined)[] = [];
    listener.on('notification', ({ channel, payload }) => heard.push(`${channel} ${payload}`));
    await listener.query('LISTEN "posthorn_Hooks-1"');
    const app = await database.client();
    await app.query(`BEGIN; SELECT "Hooks-1".emit('a.b', '1'); ROLLBACK`);
    await app.query(`BEGIN; SELECT "Hooks-1".emit('a.b', '2'), "Hooks-1".emit('a.b', '3'); COMMIT`);
    await expect.poll(() => heard).toEqual(['posthorn_Hooks-1 outbox']);
    await listener.query('SELECT 1');
    expect(heard).toHaveLength(1);
    expect((await database.rows()).map(({ data }) => data)).toEqual(['2', '3']);
  });

  it('do not wait for one another', async () => {
    const [first, second] = [await database.client(), await database.client()];
    await first.query(`BEGIN; SELECT "Hooks-1".emit('a.b', '4')`);
    await second.query(`SET lock_timeout = 1000; BEGIN; SELECT "Hooks-1".emit('a.b', '5'); COMMIT`);
    await first.query('COMMIT');
    expect((await database.rows()).map(({ data }) => data)).toEqual(['2', '3', '4', '5']);
  });
});
