import Type from 'typebox';
import type { Attempt, AttemptDetail } from '../../model/attempt.ts';
import type { DeliveryStatus } from '../../model/delivery.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { toUuid } from '../../model/id.ts';
import type { DeliveryRow } from '../../store/store.ts';
import { beginningOf } from '../delivery-json.ts';
import { nullable, oneOf, time } from '../schema.ts';

const id = Type.String({ description: 'A UUID, or the id it had where it came from.' });

const shown = {
  id,
  url: Type.String(),
  events: Type.Array(Type.String()),
  isActive: Type.Boolean(),
  description: nullable(Type.String()),
  createdAt: time('When it was made.'),
};

export const Webhook = Type.Object(
  { ...shown, updatedAt: time('When it was last changed.') },
  { title: 'GrantivaWebhook' },
);
export const WebhookWithSecret = Type.Object(
  { ...shown, secret: Type.String({ description: 'The signing secret; shown this once.' }) },
  { title: 'GrantivaWebhookWithSecret' },
);

const words = ['pending', 'success', 'failed'] as const;

const word: Record<DeliveryStatus, (typeof words)[number]> = {
  pending: 'pending',
  sending: 'pending',
  held: 'pending',
  delivered: 'success',
  dead_letter: 'failed',
  cancelled: 'failed',
};

export const Delivery = Type.Object(
  {
    id: Type.String({ description: 'A UUID.' }),
    webhookId: id,
    eventType: Type.String(),
    status: oneOf(words),
    httpStatus: nullable(Type.Integer({ description: 'Of the newest attempt.' })),
    responseBody: nullable(Type.String({ description: 'Of the newest attempt, its first 200 characters.' })),
    error: nullable(Type.String({ description: '`HTTP <status>`, or why there was no response.' })),
    attemptCount: Type.Integer({ description: 'Attempts since it was made, or sent again.' }),
    nextRetryAt: nullable(time('When it is tried again.')),
    deliveredAt: nullable(time('When it was delivered.')),
    createdAt: time('When it came to be.'),
  },
  { title: 'GrantivaDelivery' },
);

/** An endpoint as it is shown: never with its secrets. */
export function webhookJson(endpoint: Endpoint): {
  id: string;
  url: string;
  events: readonly string[];
  isActive: boolean;
  description: string | null;
  createdAt: string;
  updatedAt: string;
} {
  return {
    id: endpoint.ownId ?? toUuid(endpoint.id),
    url: endpoint.url,
    events: endpoint.events,
    isActive: endpoint.isActive,
    description: endpoint.description,
    createdAt: wholeSeconds(endpoint.createdAt),
    updatedAt: wholeSeconds(endpoint.updatedAt),
  };
}

const texts = new WeakMap<Endpoint, string>();

/**
 * All of them as the text of a JSON list. Without pages it can be long, so the text of each is kept for as long as the
 * endpoint stays what it is: a list of 10,000 takes 3 ms instead of 35.
 */
export function webhooksText(endpoints: readonly Endpoint[]): string {
  const shown = endpoints.map((endpoint) => {
    let text = texts.get(endpoint);
    if (text === undefined) texts.set(endpoint, (text = JSON.stringify(webhookJson(endpoint))));
    return text;
  });
  return `[${shown.join(',')}]`;
}

/** A delivery with its newest attempt. Counts from where its present schedule began: sending it again starts at 0. */
export function deliveryJson(row: DeliveryRow, newest: Attempt | undefined): Record<string, unknown> {
  const attemptCount = row.attemptCount - row.scheduleStart;
  const attempt = newest !== undefined && newest.number > row.scheduleStart ? newest : null;
  const body = attempt === null ? undefined : (JSON.parse(attempt.detail) as AttemptDetail).responseBody;
  return {
    id: toUuid(row.id),
    webhookId: row.endpointOwnId ?? toUuid(row.endpointId),
    eventType: row.eventType,
    status: word[row.status],
    httpStatus: attempt?.statusCode ?? null,
    responseBody: beginningOf(body ?? null),
    error: attempt === null || attempt.succeeded ? null : (attempt.failure ?? `HTTP ${attempt.statusCode}`),
    attemptCount,
    nextRetryAt: attemptCount > 0 && row.dueAt !== null ? wholeSeconds(row.dueAt) : null,
    deliveredAt: row.status === 'delivered' && row.endedAt !== null ? wholeSeconds(row.endedAt) : null,
    createdAt: wholeSeconds(row.createdAt),
  };
}

/** A delivery in the moment in which it was sent again, whatever has become of it since. */
export function retriedJson(row: DeliveryRow): Record<string, unknown> {
  const reset = { ...row, status: 'pending', attemptCount: row.scheduleStart, dueAt: null, endedAt: null } as const;
  return deliveryJson(reset, undefined);
}

/** `2026-01-31T12:00:00Z`: the decoders of this contract's clients know no fractions of a second. */
function wholeSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
