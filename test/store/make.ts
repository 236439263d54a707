import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Event } from '../../src/model/event.ts';
import { newDeliveryId, newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { ApiKey, Member, Plan } from '../../src/model/tenant.ts';
import type { AcceptEntry, ClaimRequest, NewDelivery, Settlement, Store } from '../../src/store/store.ts';

export const start = Date.UTC(2026, 0, 15, 9, 30);

export function makeEvent(changes: Partial<Event> = {}): Event {
  const createdAt = changes.createdAt ?? start;
  return {
    id: newId(createdAt),
    tenantId: 'acme',
    ownId: null,
    type: 'order.created',
    data: '{"total":1}',
    occurredAt: createdAt,
    category: null,
    group: null,
    source: null,
    createdAt,
    ...changes,
  };
}

export function makeDelivery(endpointId: Id, status: NewDelivery['status'] = 'sending'): NewDelivery {
  return { id: newDeliveryId(start), endpointId, status };
}

/** An entry with a delivery for each of these endpoints. */
export function makeEntry(
  endpointIds: readonly Id[],
  status: NewDelivery['status'] = 'sending',
  event: Partial<Event> = {},
  rest: Partial<AcceptEntry> = {},
): AcceptEntry {
  return {
    event: makeEvent(event),
    dedupe: [],
    deliveries: endpointIds.map((endpointId) => makeDelivery(endpointId, status)),
    fanOutAfter: null,
    ...rest,
  };
}

/** Accepts an event with one delivery and gives back its id. */
export async function acceptOne(
  store: Store,
  endpointId: Id,
  status: NewDelivery['status'] = 'sending',
  event: Partial<Event> = {},
): Promise<Id> {
  const entry = makeEntry([endpointId], status, event);
  await store.accept([entry]);
  return entry.deliveries[0]!.id;
}

export function makeSettlement(deliveryId: Id, changes: Partial<Settlement> = {}): Settlement {
  const attemptCount = changes.attemptCount ?? 1;
  return {
    tenantId: 'acme',
    deliveryId,
    attempt: {
      deliveryId,
      number: attemptCount,
      startedAt: start,
      durationMs: 12.5,
      succeeded: true,
      statusCode: 200,
      failure: null,
      detail: '{"responseBody":"ok"}',
    },
    status: 'delivered',
    reason: null,
    attemptCount,
    dueAt: null,
    lastError: null,
    now: start + 1000,
    ...changes,
  };
}

export function makeFailure(deliveryId: Id, changes: Partial<Settlement> = {}): Settlement {
  const settlement = makeSettlement(deliveryId, changes);
  const attempt = { ...settlement.attempt!, succeeded: false, statusCode: 500 };
  return { ...settlement, attempt, status: 'pending', dueAt: start + 60_000, lastError: '500', ...changes };
}

export function makeClaim(changes: Partial<ClaimRequest> = {}): ClaimRequest {
  return { now: start, limit: 100, perEndpoint: 100, only: null, except: new Set(), ...changes };
}

export function makeEndpoint(changes: Partial<Endpoint> = {}): Endpoint {
  return {
    id: newId(start),
    tenantId: 'acme',
    ownId: null,
    url: 'https://example.org/hook',
    events: ['order.*', 'grant.created'],
    description: 'orders',
    isActive: true,
    disabledReason: null,
    wireFormat: 'standard',
    headers: { 'x-team': 'blue' },
    retryScheduleMs: [1000, 5000],
    timeoutMs: 2500,
    concurrency: 4,
    metadata: { region: 'eu' },
    secrets: [{ id: newId(start), value: 'whsec_bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs', createdAt: start, expiresAt: null }],
    createdAt: start,
    updatedAt: start,
    ...changes,
  };
}

export function makeKey(changes: Partial<ApiKey & { hash: string }> = {}): ApiKey & { hash: string } {
  const id = newId(start);
  return {
    id,
    tenantId: 'acme',
    role: 'admin',
    memberId: null,
    scopes: null,
    name: 'ci',
    hint: 'ph_abc',
    hash: `hash of ${id}`,
    createdAt: start,
    lastUsedAt: null,
    expiresAt: null,
    revokedAt: null,
    ...changes,
  };
}

export function makeMember(changes: Partial<Member> = {}): Member {
  return {
    id: newId(start),
    tenantId: 'acme',
    name: 'Ada',
    email: null,
    role: 'member',
    createdAt: start,
    updatedAt: start,
    ...changes,
  };
}

export function makePlan(changes: Partial<Plan> = {}): Plan {
  return {
    name: 'pro',
    endpointLimit: 5,
    eventsPerDay: 1000,
    retentionDays: 90,
    features: ['webhooks', 'replay'],
    isDefault: false,
    createdAt: start,
    updatedAt: start,
    ...changes,
  };
}
