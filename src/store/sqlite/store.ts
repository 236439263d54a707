import { randomBytes } from 'node:crypto';
import { DummyDriver, Kysely, sql, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { createApiKeys } from '../records/api-keys.ts';
import { createDeliveries } from '../records/deliveries.ts';
import type { RecordDriver } from '../records/driver.ts';
import { createEndpoints, rewrapSecrets } from '../records/endpoints.ts';
import { createEventTypes } from '../records/event-types.ts';
import { createEvents } from '../records/events.ts';
import { createMembers } from '../records/members.ts';
import { createPlans } from '../records/plans.ts';
import { createSessions } from '../records/sessions.ts';
import type { Tables } from '../records/tables.ts';
import { createTenants } from '../records/tenants.ts';
import type { KeyRing } from '../seal.ts';
import type { Store, StoreListener } from '../store.ts';
import { packAddDeliveries, packFanOut } from './accept.ts';
import { packChange, packChangeUnless } from './change.ts';
import { checkMove } from '../checks.ts';
import type { PruneResult } from './prune.ts';
import { ReaderThread } from './reader-thread.ts';
import { verb } from './verbs.ts';
import type { Stream, Verb } from './verbs.ts';
import { WriterThread } from './writer-thread.ts';

export { pendingMigrations } from './migrate.ts';

export interface SqliteStoreOptions {
  /** Holds `posthorn.db`, its write-ahead log and the lock. Made where it is missing. */
  dataDir: string;
  keyRing: KeyRing;
  /** Epoch ms; for what no caller dates: which secrets have expired, leases given back. */
  now?: () => number;
  /** The largest the database may grow; past it the store answers `STORE_FULL`. Default: as large as the disk. */
  maxBytes?: number;
}

export interface SqliteStore extends Store {
  /** Seals everything with the newest master key; resolves to how many texts changed. Old keys can then be dropped. */
  rewrapSecrets(): Promise<number>;
}

const ROOT_KEY = 'root';

/** The embedded store: SQLite in two threads, one that writes in group commits and one that reads. */
export function createSqliteStore({ dataDir, keyRing, now = Date.now, maxBytes }: SqliteStoreOptions): SqliteStore {
  let listener: StoreListener | null = null;
  const writer = new WriterThread({
    dataDir,
    maxBytes: maxBytes ?? null,
    now,
    // The writer died and was started anew, in a session of its own.
    onRestart: () => listener?.leasesLost(),
  });
  const reader = new ReaderThread(dataDir);
  /** What is called from now on is refused: else whoever goes on calling keeps the writer busy, and starts another reader. */
  let isClosing = false;
  const isOpen = (): boolean => writer.isOpen && !isClosing;
  const driver: RecordDriver = {
    dialect: 'sqlite',
    eventsWithData: 'events',
    db: new Kysely<Tables>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    }),
    read: async (query) => {
      if (!isOpen()) throw writer.unavailable();
      return reader.read(query.compile());
    },
    change: async (queries) =>
      call(verb.change, queries.length, (stream) => {
        packChange(
          stream,
          queries.map((query) => query.compile()),
        );
      }),
    changeUnless: async (objections, queries) =>
      call(verb.changeUnless, queries.length, (stream) => {
        packChangeUnless(
          stream,
          objections.map((query) => query.compile()),
          queries.map((query) => query.compile()),
        );
      }),
  };
  const { unfinishedFanOuts, ...events } = createEvents(driver);

  async function call<Result>(of: Verb, rows: number, push: (stream: Stream) => void): Promise<Result> {
    if (!isOpen()) throw writer.unavailable();
    return writer.commits.call(of, rows, push);
  }

  /** Slices that saw only what stays are gone over. */
  async function inSlices(of: Verb, request: { limit: number }): Promise<number> {
    for (;;) {
      const slice = await call<PruneResult>(of, request.limit, (stream) => stream.push(request));
      if (slice.deleted > 0 || slice.isDone) return slice.deleted;
    }
  }

  /** The root of derived keys: made once, kept sealed beside the data, the same under every master key. */
  async function loadRoot(): Promise<void> {
    const { db, read, change } = driver;
    const sealed = () => read(db.selectFrom('meta').select('value').where('key', '=', ROOT_KEY));
    let [row] = await sealed();
    if (!row) {
      const value = keyRing.seal(randomBytes(32).toString('base64'), '', ROOT_KEY);
      await change([db.insertInto('meta').values({ key: ROOT_KEY, value })]);
      [row] = await sealed();
    }
    keyRing.setRoot(Buffer.from(keyRing.unseal(row!.value, '', ROOT_KEY), 'base64'));
  }

  async function rewrapRoot(): Promise<number> {
    const { db, read, change } = driver;
    const [row] = await read(db.selectFrom('meta').select('value').where('key', '=', ROOT_KEY));
    const value = row && keyRing.rewrap(row.value, '', ROOT_KEY);
    if (!value) return 0;
    await change([db.updateTable('meta').set({ value }).where('key', '=', ROOT_KEY)]);
    return 1;
  }

  async function close(): Promise<void> {
    isClosing = true;
    // The last one to close folds the log into the database, and only the writer may: a copy of posthorn.db is then whole.
    await reader.close();
    await writer.close();
  }

  return {
    async open({ migrate, now: at }) {
      if (writer.isOpen) throw new Error(`The store in ${dataDir} is open already.`);
      isClosing = false;
      const opening = writer.open(migrate, at);
      reader.open();
      try {
        await opening;
        await loadRoot();
      } catch (error) {
        await close();
        throw error;
      }
    },
    close,
    now,
    listen(those) {
      listener = those;
    },
    cluster: null,
    outbox: null,
    async check() {
      await Promise.all([
        call(verb.check, 1, (stream) => stream.push(now())),
        driver.read(driver.db.selectFrom('meta').select('key').limit(1)),
      ]);
    },

    // The two hot verbs go without an async function of their own: it would cost each of them two more promises.
    accept(entries) {
      if (!isOpen()) return Promise.reject(writer.unavailable());
      return entries.length === 0 ? Promise.resolve([]) : writer.commits.accept(entries);
    },
    async extendFanOut(slice) {
      return call(verb.extendFanOut, slice.deliveries.length, (stream) => {
        packFanOut(stream, slice);
      });
    },
    unfinishedFanOuts,
    settle(settlement) {
      return isOpen() ? writer.commits.settle(settlement) : Promise.reject(writer.unavailable());
    },
    claim: (request) => call(verb.claim, request.limit, (stream) => stream.push(request)),
    async moveDeliveries(request) {
      checkMove(request);
      return call(verb.move, request.limit, (stream) => stream.push(request));
    },
    async endpointsHaving(status) {
      const rows = await driver.read(
        driver.db
          .selectFrom('deliveries')
          .select(['tenant_id', 'endpoint_id'])
          .distinct()
          .where('status', '=', sql.lit(status)), // a literal: only so does the partial index apply
      );
      return rows.map(({ tenant_id, endpoint_id }) => ({ tenantId: tenant_id, endpointId: endpoint_id }));
    },
    redeliver: (request) => call(verb.redeliver, request.deliveryIds.length, (stream) => stream.push(request)),
    async addDeliveries(tenantId, eventId, deliveries, at) {
      return call(verb.addDeliveries, deliveries.length, (stream) => {
        packAddDeliveries(stream, tenantId, eventId, deliveries, at);
      });
    },
    acknowledge: (tenantId, deliveryId, at) =>
      call(verb.acknowledge, 1, (stream) => stream.push(tenantId, deliveryId, at)),
    prune: (request) => inSlices(verb.prune, request),
    prunePayloads: (request) => inSlices(verb.prunePayloads, request),
    async rewrapSecrets() {
      return (await rewrapRoot()) + (await rewrapSecrets(driver, keyRing));
    },

    endpoints: createEndpoints(driver, keyRing, now),
    events,
    deliveries: createDeliveries(driver),
    eventTypes: createEventTypes(driver),
    plans: createPlans(driver),
    members: createMembers(driver),
    sessions: createSessions(driver),
    tenants: createTenants(driver),
    apiKeys: createApiKeys(driver),
  };
}
