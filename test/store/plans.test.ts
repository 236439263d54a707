import Database from 'better-sqlite3';
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { afterAll, describe, expect, it } from 'vitest';
import { createDeliveries } from '../../src/store/records/deliveries.ts';
import type { RecordDriver } from '../../src/store/records/driver.ts';
import { createEvents } from '../../src/store/records/events.ts';
import type { Tables } from '../../src/store/records/tables.ts';
import { migrate } from '../../src/store/sqlite/migrate.ts';
import type { DeliveryFilter } from '../../src/store/store.ts';

/** How SQLite would run what the records ask, over the schema and the statistics that the migrations leave. */
describe('the plans of the embedded store', () => {
  const db = new Database(':memory:');
  migrate(db, 0);
  afterAll(() => {
    db.close();
  });

  let plans: string[] = [];
  const driver: RecordDriver = {
    db: new Kysely<Tables>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (kysely) => new SqliteIntrospector(kysely),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    }),
    read: (query) => {
      const { sql, parameters } = query.compile();
      const steps = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters) as { detail: string }[];
      plans.push(steps.map(({ detail }) => detail).join('\n'));
      return Promise.resolve(db.prepare(sql).all(...parameters) as never[]);
    },
    change: () => Promise.reject(new Error('Nothing is changed here.')),
  };
  const deliveries = createDeliveries(driver);
  const events = createEvents(driver);

  async function planOf(work: () => Promise<unknown>): Promise<string> {
    plans = [];
    await work();
    return plans.join('\n');
  }

  const listed: [Omit<DeliveryFilter, 'tenantId'>, RegExp][] = [
    [{}, /d USING PRIMARY KEY \(tenant_id=\? AND id<\?\)/],
    [{ endpointId: 'e' }, /deliveries_by_endpoint \(tenant_id=\? AND endpoint_id=\? AND id<\?\)/],
    [
      { endpointId: 'e', from: 1, to: 2 },
      /deliveries_by_endpoint \(tenant_id=\? AND endpoint_id=\? AND id>\? AND id<\?\)/,
    ],
    [{ eventId: 'e' }, /deliveries_by_event \(event_id=\?/],
    [{ status: ['dead_letter'] }, /deliveries_dead \(tenant_id=\? AND id<\?\)/],
    [{ status: ['held'] }, /COVERING INDEX deliveries_held \(tenant_id=\?\)/],
    [{ status: ['held'], endpointId: 'e' }, /deliveries_held \(tenant_id=\? AND endpoint_id=\?/],
    [{ status: ['pending'], endpointId: 'e' }, /deliveries_due \(tenant_id=\? AND endpoint_id=\?/],
    [{ status: ['pending', 'sending', 'held'] }, /deliveries_due[^]*deliveries_leased[^]*deliveries_held/],
    [{ from: 1, to: 2 }, /PRIMARY KEY \(tenant_id=\? AND id>\? AND id<\?\)/],
  ];
  it.each(listed)('list deliveries by %j through an index, in its order', async (filter, expected) => {
    const plan = await planOf(() => deliveries.list({ tenantId: 'acme', ...filter }, { limit: 50, before: 'X' }));
    expect(plan).toMatch(expected);
    expect(plan).not.toMatch(/SCAN|ORDER BY/);
  });

  it.each([
    ['newest attempts', () => deliveries.recentAttempts('acme', 'e', 10), /deliveries_by_endpoint/],
    [
      'counts by status',
      () => deliveries.countByStatus({ tenantId: 'acme', endpointId: 'e' }),
      /deliveries_by_endpoint/,
    ],
    ['events by type', () => events.list({ tenantId: 'acme', type: 't' }, { limit: 9, before: null }), /events_by_id/],
    ['unfinished fan-outs', () => events.unfinishedFanOuts(9), /events_unfinished/],
  ] as const)('find %s through an index', async (_, work, expected) => {
    expect(await planOf(work)).toMatch(expected);
  });
});
