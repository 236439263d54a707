import { createHash } from 'node:crypto';
import { badField, PosthornError } from '../errors.ts';
import { isEventType, type Event } from '../model/event.ts';
import { newId, prefixes } from '../model/id.ts';
import type { AcceptEntry, AcceptOutcome, Store } from '../store/store.ts';
import type { Admission, Crowd } from './admission.ts';
import type { Assignment, Assignments } from './assignment.ts';
import type { Published, PublishInput } from './engine.ts';
import type { EventTypes } from './event-types.ts';
import { FAN_OUT_SLICE, type FanOuts } from './fan-out.ts';
import type { Lines } from './lines.ts';
import { EventMessage, publicEventId } from './message.ts';
import type { Quotas } from './quotas.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import type { Worker } from './worker.ts';

/** A publish waits for no more places than this, however many it will take. */
const MOST_PLACES = 32;
/** Deliveries that one call may store in the transaction of its events. */
const MAX_ROWS = 10_000;

// No full stop: it parts id, timestamp and body in what is signed (Standard Webhooks 1.0.0, "Signature scheme").
const OWN_ID = /^[\x21-\x2d\x2f-\x7e]{1,128}$/;
const LABEL = /^[^\p{Cc}]{1,256}$/u;

export interface PublisherOptions {
  store: Store;
  lines: Lines;
  admission: Admission;
  subscriptions: Subscriptions;
  eventTypes: EventTypes;
  assignments: Assignments;
  worker: Worker;
  fanOuts: FanOuts;
  quotas: Quotas;
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  now: () => number;
}

/** One event between the door and its commit. */
interface Draft {
  readonly entry: AcceptEntry;
  readonly assignment: Assignment;
  /** Everybody who gets it, and how many of them this transaction stores. */
  readonly matched: readonly LiveEndpoint[];
  readonly stored: number;
  /** Beyond what its tenant may send today. */
  readonly isOverQuota: boolean;
}

/** Takes events in: checked, matched, stored with their deliveries in one transaction, handed to the lines in memory. */
export class Publisher {
  readonly #o: PublisherOptions;

  constructor(options: PublisherOptions) {
    this.#o = options;
  }

  async publish(tenantId: string, input: PublishInput): Promise<Published> {
    try {
      this.#check(input, '');
    } catch (error) {
      await this.#learnTypes(error);
      this.#check(input, '');
    }
    const published = await this.#accept(tenantId, [input], FAN_OUT_SLICE);
    return published[0]!;
  }

  async publishBatch(tenantId: string, inputs: readonly PublishInput[]): Promise<Published[]> {
    try {
      this.#checkBatch(inputs);
    } catch (error) {
      await this.#learnTypes(error);
      this.#checkBatch(inputs);
    }
    return this.#accept(tenantId, inputs, Math.max(1, Math.min(FAN_OUT_SLICE, Math.floor(MAX_ROWS / inputs.length))));
  }

  #checkBatch(inputs: readonly PublishInput[]): void {
    const seen = new Set<string>();
    inputs.forEach((input, i) => {
      const path = `events[${i}].`;
      this.#check(input, path);
      for (const [field, value] of [
        ['id', input.id],
        ['idempotencyKey', input.idempotencyKey],
      ] as const) {
        if (value == null) continue;
        if (seen.has(`${field}:${value}`))
          throw badField(path + field, 'stands twice in this batch; each event needs its own');
        seen.add(`${field}:${value}`);
      }
    });
  }

  /** Throws the error, unless it is about a type that another node may have made a moment ago: then that is known behind it. */
  async #learnTypes(error: unknown): Promise<void> {
    const { store, catchUp } = this.#o;
    const isUnknown = error instanceof PosthornError && error.code === 'UNKNOWN_EVENT_TYPE';
    if (store.cluster === null || !isUnknown) throw error;
    await catchUp();
  }

  #check(input: PublishInput, path: string): void {
    if (!isEventType(input.type)) {
      throw badField(
        `${path}type`,
        'must be a name like "order.created": segments of letters, digits, "_" and "-", joined by dots, 128 characters at most',
      );
    }
    if (input.id != null && !(typeof input.id === 'string' && OWN_ID.test(input.id))) {
      throw badField(`${path}id`, 'must be 1 to 128 visible ASCII characters, without spaces and full stops');
    }
    if (input.id?.toLowerCase().startsWith(prefixes.event)) {
      throw badField(`${path}id`, `must not begin with "${prefixes.event}": such ids are given by Posthorn`);
    }
    for (const name of ['category', 'group', 'source'] as const) {
      const value = input[name];
      if (value != null && !LABEL.test(value)) {
        throw badField(path + name, 'must be 1 to 256 characters, none of them a control character');
      }
    }
    this.#o.eventTypes.checkData(input.type, input.value, path);
  }

  async #accept(tenantId: string, inputs: readonly PublishInput[], slice: number): Promise<Published[]> {
    const { lines, admission } = this.#o;
    const crowded = (): Crowd | null => this.#crowded(tenantId, inputs, slice);
    if (lines.isFull || crowded()) await admission.enter(crowded);
    const at = this.#o.now();
    const few = this.#o.quotas.takeOfFew(tenantId, inputs.length, at);
    const room = few && (await few);
    const drafts = inputs.map((input, i) =>
      this.#draft(tenantId, input, slice, at, room === null ? this.#o.quotas.take(tenantId, at) : i >= room),
    );
    let outcomes: AcceptOutcome[];
    try {
      outcomes = await this.#o.store.accept(drafts.map(({ entry }) => entry));
    } catch (error) {
      for (const draft of drafts) this.#giveUp(draft);
      throw error;
    }
    const conflict = outcomes.findIndex((outcome) => outcome.kind === 'duplicate' && !outcome.sameBody);
    if (conflict !== -1) {
      // The store took none of them.
      for (const draft of drafts) this.#giveUp(draft);
      const where = inputs.length > 1 ? `events[${conflict}]: ` : '';
      throw new PosthornError(
        'IDEMPOTENCY_CONFLICT',
        `${where}this idempotency key or id was used before with another body. Use a new one for a new event.`,
      );
    }
    const published = drafts.map((draft, i) => this.#enter(draft, outcomes[i]!));
    this.#o.worker.pump();
    return published;
  }

  /** A line that gets one of these, and where it is worth while to wait for room: places that go to its neighbours count. */
  #crowded(tenantId: string, inputs: readonly PublishInput[], slice: number): Crowd | null {
    const { lines, subscriptions } = this.#o;
    let last = '';
    for (const { type } of inputs) {
      if (type === last) continue;
      last = type;
      const matched = subscriptions.match(tenantId, type);
      const places = Math.min(matched.length, MOST_PLACES);
      for (let i = 0; i < matched.length && i < slice; i++) {
        const line = lines.find(matched[i]!.endpoint.id);
        if (!line || lines.mayEnter(line, places) || !lines.isQuick(line)) continue;
        if (this.#canMakeRoom(matched, slice, places)) return { line, places };
        break;
      }
    }
    return null;
  }

  /** False where others hold so much of the memory that there were no room if all of these lines were empty. */
  #canMakeRoom(matched: readonly LiveEndpoint[], slice: number, places: number): boolean {
    const { lines } = this.#o;
    let free = lines.free;
    for (let i = 0; i < matched.length && i < slice && free < places; i++)
      free += lines.find(matched[i]!.endpoint.id)?.reserved ?? 0;
    return free >= places;
  }

  #draft(tenantId: string, input: PublishInput, slice: number, at: number, isOverQuota: boolean): Draft {
    const { assignments, subscriptions } = this.#o;
    const event: Event = {
      id: newId(at),
      tenantId,
      ownId: input.id ?? null,
      type: input.type,
      data: input.data,
      occurredAt: input.occurredAt ?? input.emittedAt ?? at,
      category: input.category ?? null,
      group: input.group ?? null,
      source: input.source ?? null,
      createdAt: at,
    };
    const matched = subscriptions.match(tenantId, input.type);
    const first = matched.length > slice ? matched.slice(0, slice) : matched;
    const assignment = assignments.of(event, first, at, isOverQuota);
    const fanOutAfter = matched.length > first.length ? first.at(-1)!.endpoint.id : null;
    return {
      entry: { event, dedupe: dedupeOf(input), deliveries: assignment.deliveries, fanOutAfter },
      assignment,
      matched,
      stored: first.length,
      isOverQuota,
    };
  }

  /** It was not stored. */
  #giveUp({ entry, assignment }: Draft): void {
    assignment.giveUp();
    this.#o.quotas.giveBack(entry.event.tenantId, entry.event.createdAt);
  }

  #enter(draft: Draft, outcome: AcceptOutcome): Published {
    const { entry, assignment, matched, stored, isOverQuota } = draft;
    if (outcome.kind === 'duplicate') {
      this.#giveUp(draft);
      const id = publicEventId({ id: outcome.eventId, ownId: outcome.ownId });
      return { id, deliveries: outcome.deliveries, duplicate: true };
    }
    const message = new EventMessage(entry.event);
    assignment.enter(message);
    if (stored < matched.length)
      this.#o.fanOuts.continue(entry.event, entry.fanOutAfter!, matched.slice(stored), isOverQuota);
    return { id: message.id, deliveries: matched.length, duplicate: false };
  }
}

const NO_KEYS: AcceptEntry['dedupe'] = [];

/** Keys and own ids share one table; their kind is part of the hash. The fingerprint is over everything the publisher said. */
function dedupeOf(input: PublishInput): AcceptEntry['dedupe'] {
  const { type, data, id, occurredAt, category, group, source, idempotencyKey, idempotencyScope } = input;
  if (idempotencyKey == null && id == null) return NO_KEYS;
  const fingerprint = hash(JSON.stringify([type, data, id, occurredAt, category, group, source]));
  const dedupe: { key: string; fingerprint: string }[] = [];
  if (idempotencyKey != null) {
    const scoped = idempotencyScope === undefined ? fingerprint : hash(`${fingerprint} ${idempotencyScope}`);
    dedupe.push({ key: hash(`key:${idempotencyKey}`), fingerprint: scoped });
  }
  if (id != null) dedupe.push({ key: ownIdKey(id), fingerprint });
  return dedupe;
}

/** Under which a publisher's own id is found again. */
export function ownIdKey(ownId: string): string {
  return hash(`id:${ownId}`);
}

/** 192 bits of SHA-256: enough that no two texts meet, and short in the store. */
export function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 32);
}
