import Type from 'typebox';
import { publicEventId } from '../delivery/message.ts';
import type { Attempt, AttemptDetail } from '../model/attempt.ts';
import { deliveryStatuses } from '../model/delivery.ts';
import { attemptId, prefixes } from '../model/id.ts';
import type { DeliveryRow } from '../store/store.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';

const fields = {
  id: Type.String({ description: '`whd_…`' }),
  webhookId: Type.String({ description: '`wh_…`, or the id it had where it came from.' }),
  eventId: Type.String({ description: 'The publisher’s own id of the event, or `evt_…`.' }),
  eventType: Type.String(),
  status: oneOf(deliveryStatuses, { description: 'See docs/state-machine.md.' }),
  reason: nullable(Type.String({ description: 'Why it is `held`, `cancelled` or a `dead_letter`.' })),
  attempts: Type.Integer({ description: 'Attempts made so far.' }),
  nextAttemptAt: nullable(time('When it is tried (again), where it waits.')),
  lastError: nullable(Type.String({ description: 'Status code or failure of the newest failed attempt.' })),
  createdAt: time('When it came to be.'),
  endedAt: nullable(time('When it was delivered, given up or cancelled.')),
  acknowledgedAt: nullable(time('When somebody acknowledged the dead letter.')),
};

export const Delivery = Type.Object(fields, { title: 'Delivery' });

const AttemptLog = Type.Object(
  {
    id: Type.String({ description: '`att_…`' }),
    number: Type.Integer({ description: 'From 1, over the delivery’s whole life.' }),
    startedAt: time('When the exchange began.'),
    durationMs: Type.Number(),
    succeeded: Type.Boolean(),
    statusCode: nullable(Type.Integer({ description: 'HTTP status; null where no response arrived.' })),
    failure: nullable(
      Type.String({ description: 'Why there is no complete response: `connect_refused`, `timeout`, …' }),
    ),
    remoteAddress: nullable(Type.String({ description: 'Address that was connected to.' })),
    note: Type.Optional(Type.String({ description: 'For operators: what tenants are not told.' })),
    timing: Type.Object({
      dnsMs: nullable(Type.Number()),
      connectMs: nullable(Type.Number()),
      tlsMs: nullable(Type.Number()),
      firstByteMs: nullable(Type.Number()),
    }),
    responseHeaders: Type.Record(Type.String(), Type.String()),
    responseBody: nullable(Type.String({ description: 'The first 16 KiB at most.' })),
    responseTruncated: Type.Boolean(),
  },
  { title: 'Attempt' },
);

export const DeliveryDetail = Type.Object(
  { ...fields, url: nullable(Type.String({ description: 'Where it goes.' })), attemptLog: Type.Array(AttemptLog) },
  { title: 'DeliveryDetail' },
);

/** A delivery as it is shown. */
export function deliveryJson(row: DeliveryRow): Record<string, unknown> {
  return {
    id: prefixes.delivery + row.id,
    webhookId: row.endpointOwnId ?? prefixes.endpoint + row.endpointId,
    eventId: publicEventId({ id: row.eventId, ownId: row.eventOwnId }),
    eventType: row.eventType,
    status: row.status,
    reason: row.reason,
    attempts: row.attemptCount,
    nextAttemptAt: formatTime(row.dueAt),
    lastError: row.lastError,
    createdAt: formatTime(row.createdAt),
    endedAt: formatTime(row.endedAt),
    acknowledgedAt: formatTime(row.acknowledgedAt),
  };
}

/** An attempt as it is shown; the operator's note only to operators. */
export function attemptJson(attempt: Attempt, isOperator: boolean): Record<string, unknown> {
  const detail = JSON.parse(attempt.detail) as AttemptDetail;
  return {
    id: prefixes.attempt + attemptId(attempt.deliveryId, attempt.number),
    number: attempt.number,
    startedAt: formatTime(attempt.startedAt),
    durationMs: attempt.durationMs,
    succeeded: attempt.succeeded,
    statusCode: attempt.statusCode,
    failure: attempt.failure,
    remoteAddress: detail.remoteAddress ?? null,
    ...(isOperator && detail.note !== undefined ? { note: detail.note } : {}),
    timing: {
      dnsMs: detail.dnsMs ?? null,
      connectMs: detail.connectMs ?? null,
      tlsMs: detail.tlsMs ?? null,
      firstByteMs: detail.firstByteMs ?? null,
    },
    responseHeaders: headersJson(detail.responseHeaders ?? []),
    responseBody: detail.responseBody ?? null,
    responseTruncated: detail.responseTruncated ?? false,
  };
}

/** Names in lower case; what came several times is joined by commas, as RFC 9110, section 5.3 allows. */
export function headersJson(flat: readonly string[]): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>;
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i]!.toLowerCase();
    headers[name] = name in headers ? `${headers[name]}, ${flat[i + 1]!}` : flat[i + 1]!;
  }
  return headers;
}

const SHOWN_CHARACTERS = 200;

/** What lists show of a receiver's answer: its first 200 characters, none of them cut in two. */
export function beginningOf(body: string | null): string | null {
  if (body === null || body.length <= SHOWN_CHARACTERS) return body;
  return [...body.slice(0, 2 * SHOWN_CHARACTERS)].slice(0, SHOWN_CHARACTERS).join('');
}
