import Database from 'better-sqlite3';
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { afterAll, describe, expect, it } from 'vitest';
import { createDeliveries } from '../../src/store/records/deliveries.ts';
import { createEndpoints } from '../../src/store/records/endpoints.ts';
import type { RecordDriver } from '../../src/store/records/driver.ts';
import { createEvents } from '../../src/store/records/events.ts';
import type { Tables } from '../../src/store/records/tables.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { migrate } from '../../src/store/sqlite/migrate.ts';
import type { DeliveryFilter } from '../../src/store/store.ts';
import { makeEndpoint } from './make.ts';

/** How SQLite would run what the records ask, over the schema and the statistics that the migrations leave. */
describe('the plans of the embedded store', () => {
  const db = new Database(':memory:');
  migrate(db, 0);
  afterAll(() => {
    db.close();
  });

  let plans: string[] = [];
  const driver: RecordDriver = {
    dialect: 'sqlite',
    eventsWithData: 'events',
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
    changeUnless: async (objections) => {
      for (const objection of objections) await driver.read(objection);
      return null;
    },
  };
  const deliveries = createDeliveries(driver);
  const events = createEvents(driver);

  const endpoints = createEndpoints(driver, createKeyRing(['a master key for tests only']), () => 0);

  /** Without the walk over a page that was picked already: a second one would be over the table. */
  async function planOf(work: () => Promise<unknown>): Promise<string> {
    plans = [];
    await work();
    return plans.map((plan) => (plan.startsWith('CO-ROUTINE d\n') ? plan.replace(/^SCAN d$/m, '') : plan)).join('\n');
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
    [{ status: ['sending'], endpointId: 'e' }, /deliveries_leased \(tenant_id=\?\)/],
    [
      { status: ['dead_letter'], endpointId: 'e' },
      /deliveries_failed_of \(tenant_id=\? AND endpoint_id=\? AND id<\?\)/,
    ],
    [{ status: ['cancelled'] }, /deliveries_failed \(tenant_id=\? AND id<\?\)/],
    [{ status: ['cancelled'], endpointId: 'e' }, /deliveries_failed_of \(tenant_id=\? AND endpoint_id=\? AND id<\?\)/],
    [{ status: ['dead_letter', 'cancelled'] }, /deliveries_failed \(tenant_id=\? AND id<\?\)/],
    [{ attempted: false }, /d USING PRIMARY KEY \(tenant_id=\? AND id<\?\)/],
    [{ from: 1, to: 2 }, /PRIMARY KEY \(tenant_id=\? AND id>\? AND id<\?\)/],
  ];
  it.each(listed)('list deliveries by %j through an index, in its order', async (filter, expected) => {
    const plan = await planOf(() => deliveries.list({ tenantId: 'acme', ...filter }, { limit: 50, before: 'X' }));
    expect(plan).toMatch(expected);
    expect(plan).not.toMatch(/SCAN|ORDER BY/);
  });

  const first = { limit: 10, before: null, offset: 0 };
  it.each([
    ['newest attempts', () => deliveries.recentAttempts('acme', 'e', 10), /deliveries_by_endpoint/],
    [
      'counts by status',
      () => deliveries.countByStatus({ tenantId: 'acme', endpointId: 'e' }),
      /deliveries_by_endpoint/,
    ],
    [
      'attempts',
      () => deliveries.listAttempts({ tenantId: 'acme' }, first),
      /deliveries USING PRIMARY KEY \(tenant_id=\?\)/,
    ],
    [
      'attempts of an endpoint',
      () => deliveries.listAttempts({ tenantId: 'acme', endpointId: 'e', succeeded: false }, first),
      /deliveries_by_endpoint[^]*a USING PRIMARY KEY \(delivery_id=\?\)/,
    ],
    [
      'attempts of an event',
      () => deliveries.listAttempts({ tenantId: 'acme', eventId: 'e' }, first),
      /deliveries_by_event \(event_id=\?/,
    ],
    ['failures', () => deliveries.countFailures('acme', 'e', 0), /deliveries_by_endpoint[^]*a USING PRIMARY KEY/],
    [
      'last attempts',
      () => deliveries.list({ tenantId: 'acme', endpointId: 'e' }, { ...first, before: null, withLastAttempt: true }),
      /deliveries_by_endpoint[^]*a USING PRIMARY KEY \(delivery_id=\? AND number=\? AND tenant_id=\?\)/,
    ],
    [
      'deliveries of a group',
      () => deliveries.count({ tenantId: 'acme', group: 'g' }, 9),
      /events_by_group \(tenant_id=\? AND group_key=\?\)/,
    ],
    [
      'the tenant of a delivery',
      () => deliveries.tenantOf('d'),
      /d (EXISTS )?USING PRIMARY KEY \(tenant_id=\? AND id=\?\)/,
    ],
    [
      'events of a group',
      () => events.list({ tenantId: 'acme', group: 'g' }, { ...first, before: 'X' }),
      /events_by_group \(tenant_id=\? AND group_key=\? AND id<\?\)/,
    ],
    ['events since a time', () => events.count('acme', 1, 9), /events_by_id \(tenant_id=\? AND id>\?\)/],
    ['events by type', () => events.list({ tenantId: 'acme', type: 't' }, { limit: 9, before: null }), /events_by_id/],
    ['unfinished fan-outs', () => events.unfinishedFanOuts(9), /events_unfinished/],
  ] as const)('find %s through an index', async (_, work, expected) => {
    const plan = await planOf(work);
    expect(plan).toMatch(expected);
    expect(plan).not.toMatch(/SCAN (deliveries|events|attempts|[ade])$/m);
  });

  it('decide whether an endpoint may be made from small indexes alone', async () => {
    const plan = await planOf(() =>
      endpoints.create(makeEndpoint({ ownId: 'o' }), { limit: 5, dedupe: { key: 'k', fingerprint: 'f' } }),
    );
    expect(plan).toMatch(/endpoint_keys USING PRIMARY KEY \(tenant_id=\? AND key=\?\)/);
    expect(plan).toMatch(/COVERING INDEX endpoints_by_id \(id=\?\)/);
    expect(plan).toMatch(/INDEX endpoints_by_own_id \(tenant_id=\? AND own_id=\?\)/);
    expect(plan).toMatch(/COVERING INDEX endpoints_live \(tenant_id=\? AND deleted_at=\?\)/);
    expect(plan).not.toMatch(/SCAN endpoint/);
  });
});
