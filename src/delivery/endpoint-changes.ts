import type { Logger } from 'pino';
import { notFound, PosthornError } from '../errors.ts';
import type { DisabledReason, Endpoint } from '../model/endpoint.ts';
import type { Id } from '../model/id.ts';
import type { RecordChange, Store } from '../store/store.ts';
import type { Lines } from './lines.ts';
import { liveEndpoint, type EndpointDefaults } from './live-endpoint.ts';
import { publicEndpointId } from './message.ts';
import type { Moves } from './moves.ts';
import type { Redeliveries } from './redeliveries.ts';
import { isStoreFault } from './store-fault.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import { Turns } from './turns.ts';
import type { Worker } from './worker.ts';

const AGAIN_AFTER_FAULT_MS = 1_000;
/** Tries of a change while other nodes change the same endpoint. */
const TRIES = 50;
/** The longest wait between two of them: whoever was quicker has all it needs to be so again. */
const WAIT_MS = 4;
/** Endpoints that are read at once. */
const AT_ONCE = 16;

export interface EndpointChangesOptions {
  store: Store;
  subscriptions: Subscriptions;
  lines: Lines;
  worker: Worker;
  moves: Moves;
  redeliveries: Redeliveries;
  defaults: EndpointDefaults;
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  random: () => number;
  log: Logger;
  now: () => number;
}

/** Endpoints as the store has them, and in force: a change is so in the turn in which it is known to be durable. */
export class EndpointChanges {
  readonly #o: EndpointChangesOptions;
  /** Changes of one endpoint go one after the other. */
  readonly #turns = new Turns();
  #isStopped = false;

  constructor(options: EndpointChangesOptions) {
    this.#o = options;
  }

  stop(): void {
    this.#isStopped = true;
  }

  async load(): Promise<void> {
    for (const endpoint of await this.#o.store.endpoints.all()) this.put(this.live(endpoint));
  }

  /** Looks again what the store has: it may have made a change whose answer was lost with its writer. */
  async reload(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.follow('everything');
        return;
      } catch (error) {
        this.#o.log.warn({ error: String(error) }, 'endpoints.not_reloaded');
        if (!isStoreFault(error)) return;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
      }
    }
  }

  /** Puts in force what the store has of these endpoints. */
  async follow(changes: readonly RecordChange[] | 'everything'): Promise<void> {
    const those = changes === 'everything' ? await this.#changed() : changes;
    for (let i = 0; i < those.length; i += AT_ONCE) {
      await Promise.all(those.slice(i, i + AT_ONCE).map(({ tenantId, key }) => this.read(tenantId, key)));
    }
  }

  async #changed(): Promise<{ tenantId: string; key: Id }[]> {
    const { store, subscriptions } = this.#o;
    const stored = new Map((await store.endpoints.all()).map((endpoint) => [endpoint.id, endpoint]));
    const known = new Map([...subscriptions.all()].map(({ endpoint }) => [endpoint.id, endpoint]));
    return [...new Map([...stored, ...known])].flatMap(([id, { tenantId }]) =>
      JSON.stringify(stored.get(id)) === JSON.stringify(known.get(id)) ? [] : { tenantId, key: id },
    );
  }

  /** Puts one endpoint in force as the store has it. */
  async read(tenantId: string, id: Id): Promise<void> {
    await this.#turns.take(id, () => this.#read(tenantId, id));
  }

  /** An endpoint that is unknown here may have been made by another node a moment ago. Null: it is deleted. */
  async find(tenantId: string, id: Id): Promise<LiveEndpoint | null> {
    return this.#turns.take(id, async () => {
      const { subscriptions } = this.#o;
      if (!subscriptions.get(tenantId, id)) await this.#read(tenantId, id);
      return subscriptions.get(tenantId, id);
    });
  }

  /** By `wh_…`, UUID or own id; throws NOT_FOUND. */
  async require(tenantId: string, id: string): Promise<LiveEndpoint> {
    const { store, subscriptions, catchUp } = this.#o;
    let live = subscriptions.named(tenantId, id);
    if (!live && store.cluster) {
      await catchUp();
      live = subscriptions.named(tenantId, id);
    }
    if (!live) throw notFound('webhook', id);
    return live;
  }

  /** A new one is in force. */
  put(live: LiveEndpoint): void {
    this.#o.subscriptions.put(live);
    this.#o.lines.setCap(live.endpoint.id, live.concurrency);
  }

  live(endpoint: Endpoint): LiveEndpoint {
    return liveEndpoint(endpoint, this.#o.defaults);
  }

  /**
   * Reads, changes, stores and puts in force, after the changes of this endpoint that came before. Null changes nothing.
   * Throws NOT_FOUND, and INVALID_STATE where others change it all the time.
   */
  async change(tenantId: string, id: string, next: (before: Endpoint) => Endpoint | null): Promise<Endpoint> {
    const { endpoint } = await this.require(tenantId, id);
    return this.#turns.take(endpoint.id, async () => {
      const changed = await this.#change(tenantId, endpoint.id, next);
      if (!changed) throw notFound('webhook', id);
      return changed;
    });
  }

  async remove(tenantId: string, id: string): Promise<void> {
    const { endpoint } = await this.require(tenantId, id);
    await this.#turns.take(endpoint.id, async () => {
      const { store, subscriptions, now } = this.#o;
      if (!subscriptions.get(tenantId, endpoint.id)) throw notFound('webhook', id);
      await store.endpoints.remove(tenantId, endpoint.id, now());
      this.#takeOut(endpoint);
    });
  }

  /** For what its receiver did: not where it has gone on to another URL, or is disabled or deleted, meanwhile. */
  async disableFor(reason: 'gone' | 'failing', { tenantId, id, url }: Endpoint): Promise<void> {
    await this.#turns.take(id, async () => {
      let isDone = false;
      const after = await this.#change(tenantId, id, (before) => {
        isDone = before.isActive && before.url === url;
        return isDone ? disabled(before, reason) : null;
      });
      if (after && isDone)
        this.#o.log.warn({ tenant: tenantId, endpoint: publicEndpointId(after), reason }, 'endpoint.disabled');
    });
  }

  /** In the endpoint's turn. Null where it is deleted. */
  async #change(tenantId: string, id: Id, next: (before: Endpoint) => Endpoint | null): Promise<Endpoint | null> {
    const { store, subscriptions, random } = this.#o;
    for (let tries = 1; ; tries++) {
      const before = subscriptions.get(tenantId, id)?.endpoint;
      if (!before) return null;
      const changed = next(before);
      // Among several nodes what is here may be a moment old: that there is nothing to do is true of the store alone.
      if (changed === null && (store.cluster === null || tries > 1)) return before;
      const after = changed && (await this.#apply(before, changed));
      if (after) return after;
      if (tries === TRIES) {
        throw new PosthornError(
          'INVALID_STATE',
          `The webhook ${publicEndpointId(before)} is being changed by others at this moment; try again.`,
        );
      }
      // Somebody else was quicker: once more, on top of what they did.
      if (tries > 1) await new Promise((resolve) => setTimeout(resolve, random() * WAIT_MS));
      await this.#read(tenantId, id);
    }
  }

  /** Null where the stored endpoint is another one than `before`. */
  async #apply(before: Endpoint, changed: Endpoint): Promise<Endpoint | null> {
    const at = this.#o.now();
    const after: Endpoint = {
      ...changed,
      secrets: changed.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > at),
      updatedAt: Math.max(at, before.updatedAt + 1),
    };
    const live = this.live(after);
    if (!(await this.#o.store.endpoints.update(after, before.updatedAt))) return null;
    this.#putInForce(before, live, true);
    return after;
  }

  async #read(tenantId: string, id: Id): Promise<void> {
    const { store, subscriptions } = this.#o;
    const before = subscriptions.get(tenantId, id)?.endpoint;
    const stored = await store.endpoints.get(tenantId, id);
    if (!stored) {
      if (before) this.#takeOut(before);
      return;
    }
    const { deletedAt: _, ...endpoint } = stored;
    if (before && before.updatedAt === endpoint.updatedAt) return;
    this.#putInForce(before ?? endpoint, this.live(endpoint), store.cluster === null);
  }

  /** `isOurs`: this node made the change. What must be done once is done by whoever did; the rest everywhere. */
  #putInForce(before: Endpoint, live: LiveEndpoint, isOurs: boolean): void {
    const { lines, worker, moves } = this.#o;
    const { tenantId, id: endpointId, url, isActive } = live.endpoint;
    this.put(live);
    if (url !== before.url || (isActive && !before.isActive)) this.#startAfresh(live, isOurs);
    if (before.isActive && !isActive) {
      const line = lines.find(endpointId);
      if (line) worker.clear(line, live);
      moves.hold({ tenantId, endpointId });
    } else if (!before.isActive && isActive) moves.resume({ tenantId, endpointId });
  }

  #startAfresh(live: LiveEndpoint, isOurs: boolean): void {
    const { worker, redeliveries, log } = this.#o;
    if (!worker.pauses.startAfresh(live, isOurs) || !isOurs) return;
    // What waits in the store waits for a time that its old URL, or its old self, asked for.
    const { tenantId, id: endpointId } = live.endpoint;
    redeliveries.start({ tenantId, endpointId, status: ['pending'] }).catch((error: unknown) => {
      log.warn({ endpoint: publicEndpointId(live.endpoint), error: String(error) }, 'endpoint.pause_not_ended');
    });
  }

  /** It is deleted. What waits in memory goes back at once; what is on the wire finds out when it ends. */
  #takeOut({ tenantId, id: endpointId }: Endpoint): void {
    const { subscriptions, lines, worker, moves } = this.#o;
    subscriptions.remove(tenantId, endpointId);
    const line = lines.find(endpointId);
    if (line) {
      worker.clear(line, null);
      lines.forget(endpointId);
    }
    moves.cancel({ tenantId, endpointId });
  }
}

/** Null where it is disabled already. */
export function disabled(before: Endpoint, reason: DisabledReason): Endpoint | null {
  return before.isActive ? { ...before, isActive: false, disabledReason: reason } : null;
}
