import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { PosthornError } from '../../errors.ts';
import { checkMove, checkSettlement } from '../checks.ts';
import { DueRing } from '../due.ts';
import { createApiKeys } from '../records/api-keys.ts';
import { createDeliveries } from '../records/deliveries.ts';
import type { ChangeOptions } from '../records/driver.ts';
import { createEndpoints, rewrapSecrets } from '../records/endpoints.ts';
import { createEventTypes } from '../records/event-types.ts';
import { createEvents } from '../records/events.ts';
import { createMembers } from '../records/members.ts';
import { createPlans } from '../records/plans.ts';
import { createSessions } from '../records/sessions.ts';
import { createTenants } from '../records/tenants.ts';
import type { KeyRing } from '../seal.ts';
import type { AcceptEntry, AcceptOutcome, Settlement, Store, StoreListener } from '../store.ts';
import { Accepting } from './accept.ts';
import { Claiming } from './claim.ts';
import { Connections } from './connections.ts';
import type { Context } from './context.ts';
import { Doubts } from './doubts.ts';
import { DueHint } from './due-hint.ts';
import { toStoreError } from './failure.ts';
import { FanningOut } from './fan-out.ts';
import { Flights } from './flights.ts';
import { Lane } from './lane.ts';
import { refuseHalfMoved } from './moved.ts';
import { Moving } from './moves.ts';
import { Nodes } from './nodes.ts';
import { createPostgresOutbox } from './outbox.ts';
import { PartitionKeeper } from './partition-keeper.ts';
import { prepareDatabase } from './prepare.ts';
import { createPrune } from './prune.ts';
import { createPrunePayloads } from './prune-payloads.ts';
import { createRecordDriver } from './record-driver.ts';
import { Settling } from './settle.ts';

export interface PostgresStoreOptions {
  /** `postgres://…`. */
  url: string;
  keyRing: KeyRing;
  /** Schema of all tables; default `posthorn`. */
  schema?: string;
  /** Connections at most; default 10. */
  poolSize?: number;
  /** Longest that one statement may take, ms; default 10,000. */
  statementTimeoutMs?: number;
  /** After so long without a sign of life a node's work is taken over, ms; default 30,000. */
  leaseMs?: number;
  /** False for a process that only takes events in; default true. */
  delivers?: boolean;
  /** What this node is called in the table of nodes; default the host's name and the process's id. */
  name?: string;
  /** Told of what went wrong beside any call: connections that broke, renewals that failed. */
  onFault?: (error: unknown, what: string) => void;
}

export interface PostgresStore extends Store {
  /** Seals everything with the newest master key; resolves to how many texts changed. Old keys can then be dropped. */
  rewrapSecrets(): Promise<number>;
  readonly connections: Connections;
  readonly nodes: Nodes;
}

const ROOT_KEY = 'root';
/** Statements of one verb under way at once. Two make batches half as large, and cost PostgreSQL half as much again. */
const WIDTH = 1;
/**
 * The first settlement is written at once, those that follow gather: at a thousand a second that takes a third of
 * PostgreSQL's CPU off a delivery.
 */
const SETTLE_REST_MS = 5;

/** The store on PostgreSQL: any number of nodes on one database. */
export function createPostgresStore(options: PostgresStoreOptions): PostgresStore {
  const { url, keyRing, schema = 'posthorn', poolSize = 10, statementTimeoutMs = 10_000, leaseMs = 30_000 } = options;
  const { delivers = true, name = `${hostname()}:${process.pid}`, onFault = () => undefined } = options;
  let listener: StoreListener | null = null;
  let state: 'closed' | 'open' | 'closing' = 'closed';

  const connections = new Connections({
    ...{ url, schema, poolSize, statementTimeoutMs },
    onFault: (error) => {
      onFault(error, 'connection');
    },
  });
  const nodes = new Nodes({ connections, delivers, leaseMs, name, listener: heard, onFault });
  const due = new DueRing();
  const hint = new DueHint({ connections, delivers, hasOthers: () => nodes.place().count > 1 });
  const context: Context = {
    ...{ connections, due, node: () => nodes.number, now: () => nodes.now() },
    noteDue(tenantId, endpointId, dueAt) {
      due.note(tenantId, endpointId, dueAt);
      hint.tell();
    },
  };
  const doubts = new Doubts(context);
  const flights = new Flights();
  const accepting = new Accepting(context, doubts, flights);
  const settling = new Settling(context, flights);
  const claiming = new Claiming(context, doubts);
  const moving = new Moving(context);
  const fanningOut = new FanningOut(context, doubts);
  const acceptLane = new Lane<readonly AcceptEntry[], AcceptOutcome[]>({ width: WIDTH }, accepting.run);
  const settleLane = new Lane<Settlement, boolean>({ width: WIDTH, restMs: SETTLE_REST_MS }, settling.run);
  const driver = createRecordDriver(connections, context.node);
  const guarded: typeof driver = {
    ...driver,
    read: async (query) => (refuseUnlessOpen(), driver.read(query)),
    change: (queries, changeOptions) => certain(changeOptions, () => driver.change(queries, changeOptions)),
    changeUnless: (objections, queries, changeOptions) =>
      certain(changeOptions, () => driver.changeUnless(objections, queries, changeOptions)),
  };
  const { unfinishedFanOuts: _, ...events } = createEvents(guarded);
  const prune = createPrune(connections);
  const prunePayloads = createPrunePayloads(connections);
  const partitions = new PartitionKeeper({ connections, now: context.now, onFault });

  /** A change whose answer was lost may have been made all the same: then this node is told of it like the others. */
  async function certain<Result>(of: ChangeOptions | undefined, change: () => Promise<Result>): Promise<Result> {
    refuseUnlessOpen();
    try {
      return await change();
    } catch (error) {
      const isInDoubt = error instanceof PosthornError && error.code === 'STORE_UNAVAILABLE';
      if (isInDoubt && of?.tell && state === 'open') listener?.recordsChanged(of.tell);
      throw error;
    }
  }

  /** What the nodes report goes to the engine, and to what is remembered here. */
  function heard(): StoreListener {
    return {
      leasesLost() {
        flights.forgetOthers(nodes.number);
        claiming.lookAgain();
        listener?.leasesLost();
      },
      orphansFound() {
        claiming.lookAgain();
        listener?.orphansFound();
      },
      recordsChanged: (changes) => listener?.recordsChanged(changes),
      placeChanged: () => listener?.placeChanged(),
      endpointPaused: (tenantId, endpointId, until) => listener?.endpointPaused(tenantId, endpointId, until),
    };
  }

  function notOpen(): PosthornError {
    return new PosthornError('STORE_UNAVAILABLE', 'The store is not open. Try again in a second.', {
      retryAfterSeconds: 1,
    });
  }

  function refuseUnlessOpen(): void {
    if (state !== 'open') throw notOpen();
  }

  async function whenOpen<Result>(work: () => Promise<Result>): Promise<Result> {
    refuseUnlessOpen();
    return work();
  }

  /** The root of derived keys: made once, kept sealed in the database, the same under every master key. */
  async function loadRoot(): Promise<void> {
    const { db, read, change } = driver;
    const sealed = () => read(db.selectFrom('meta').select('value').where('key', '=', ROOT_KEY));
    let [row] = await sealed();
    if (!row) {
      const value = keyRing.seal(randomBytes(32).toString('base64'), '', ROOT_KEY);
      // Another node may be quicker: then its root is everybody's.
      await change([
        db
          .insertInto('meta')
          .values({ key: ROOT_KEY, value })
          .onConflict((on) => on.doNothing()),
      ]);
      [row] = await sealed();
    }
    keyRing.setRoot(Buffer.from(keyRing.unseal(row!.value, '', ROOT_KEY), 'base64'));
  }

  async function rewrapRoot(): Promise<number> {
    const { db, read, change } = driver;
    const [row] = await read(db.selectFrom('meta').select('value').where('key', '=', ROOT_KEY));
    const value = row && keyRing.rewrap(row.value, '', ROOT_KEY);
    if (!value) return 0;
    const [changed] = await change([
      db.updateTable('meta').set({ value }).where('key', '=', ROOT_KEY).where('value', '=', row.value),
    ]);
    return changed!;
  }

  async function close(): Promise<void> {
    if (state !== 'open') return;
    state = 'closing';
    await Promise.all([acceptLane.idle(), settleLane.idle()]);
    doubts.close();
    hint.stop();
    await partitions.stop();
    await nodes.stop();
    await connections.end();
    flights.clear();
    state = 'closed';
  }

  return {
    connections,
    nodes,
    async open({ migrate }) {
      if (state !== 'closed') throw new Error('The store is open already.');
      try {
        await prepareDatabase(connections, { migrate });
        await refuseHalfMoved(connections);
        await loadRoot();
        await nodes.start();
        // Again, now that a move that begins would find this node: one of the two sees the other.
        await refuseHalfMoved(connections);
        await partitions.start();
      } catch (error) {
        await nodes.stop();
        await connections.end();
        throw error;
      }
      state = 'open';
    },
    close,
    check: () =>
      whenOpen(async () => {
        await acceptLane.idle();
        await connections.query({
          sql: `INSERT INTO posthorn.meta (key, value) VALUES ('checked_at', $1) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value`,
          parameters: [String(nodes.now())],
        });
      }),
    now: () => nodes.now(),
    listen(those) {
      listener = those;
    },
    cluster: nodes,

    accept(entries) {
      if (state !== 'open') return Promise.reject(notOpen());
      if (entries.length === 0) return Promise.resolve([]);
      let rows = 0;
      let chars = 0;
      for (const { event, deliveries } of entries) {
        rows += 1 + deliveries.length;
        chars += event.data.length;
      }
      return acceptLane.call(entries, rows, chars);
    },
    extendFanOut: (slice) => whenOpen(() => fanningOut.extend(slice)),
    unfinishedFanOuts: (limit) => whenOpen(() => fanningOut.takeUnfinished(limit)),
    settle(settlement) {
      if (state !== 'open') return Promise.reject(notOpen());
      try {
        checkSettlement(settlement);
      } catch (error) {
        return Promise.reject(toStoreError(error));
      }
      return settleLane.call(settlement, 1, settlement.attempt?.detail.length ?? 0);
    },
    claim: (request) => whenOpen(() => claiming.claim(request)),
    moveDeliveries: (request) =>
      whenOpen(async () => {
        checkMove(request);
        return moving.move(request);
      }),
    endpointsHaving: (status) =>
      whenOpen(async () => {
        const { rows } = await connections.query<{ tenant_id: string; endpoint_id: string }>({
          sql: 'SELECT DISTINCT tenant_id, endpoint_id FROM posthorn.open_deliveries WHERE status = $1',
          parameters: [status],
        });
        return rows.map((row) => ({ tenantId: row.tenant_id, endpointId: row.endpoint_id }));
      }),
    redeliver: (request) => whenOpen(() => moving.redeliver(request)),
    addDeliveries: (tenantId, eventId, deliveries, at) =>
      whenOpen(() => fanningOut.add(tenantId, eventId, deliveries, at)),
    acknowledge: (tenantId, deliveryId, at) => whenOpen(() => moving.acknowledge(tenantId, deliveryId, at)),
    prune: (request) => whenOpen(() => prune(request)),
    prunePayloads: (request) => whenOpen(() => prunePayloads(request)),
    outbox: createPostgresOutbox({ connections, onHint: (hint) => nodes.onOutbox(hint) }),
    async rewrapSecrets() {
      return (await rewrapRoot()) + (await rewrapSecrets(driver, keyRing));
    },

    endpoints: createEndpoints(guarded, keyRing, context.now),
    events,
    deliveries: createDeliveries(guarded),
    eventTypes: createEventTypes(guarded),
    plans: createPlans(guarded),
    members: createMembers(guarded),
    sessions: createSessions(guarded),
    tenants: createTenants(guarded),
    apiKeys: createApiKeys(guarded),
  };
}
