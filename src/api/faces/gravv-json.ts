import Type from 'typebox';
import type { Attempt, AttemptDetail } from '../../model/attempt.ts';
import { attemptId, toUuid } from '../../model/id.ts';
import type { DeliveryFilter, DeliveryRow } from '../../store/store.ts';
import { headersJson } from '../delivery-json.ts';
import { nullable, oneOf, time } from '../schema.ts';
import { formatTime } from '../time.ts';

/** What a delivery's status is in the contract: for a filter, and so that every delivery is in one of them. */
export const statuses = {
  /** Not tried yet. */
  pending: { status: ['pending', 'held'], attempted: false },
  processing: { status: ['sending'] },
  sent: { status: ['delivered'] },
  failed: { status: ['dead_letter', 'cancelled'] },
  /** Tried, and to be tried again. */
  retrying: { status: ['pending', 'held'], attempted: true },
} as const satisfies Record<string, Pick<DeliveryFilter, 'status' | 'attempted'>>;

export type Status = keyof typeof statuses;
export const statusWords = Object.keys(statuses) as Status[];

function statusOf({ status, attemptCount }: DeliveryRow): Status {
  switch (status) {
    case 'sending':
      return 'processing';
    case 'delivered':
      return 'sent';
    case 'dead_letter':
    case 'cancelled':
      return 'failed';
    case 'pending':
    case 'held':
      return attemptCount > 0 ? 'retrying' : 'pending';
  }
}

const uuid = (description: string) => Type.String({ description: `${description} A UUID.` });
const headers = nullable(Type.Record(Type.String(), Type.String()));
const statusCode = nullable(Type.Integer({ description: 'Of the newest attempt.' }));
/** JSON where it is an object, as the contract has it; text otherwise. */
const responseBody = Type.Unsafe<object | string | null>({
  type: ['object', 'string', 'null'],
  description: 'An object where the receiver answered with JSON that is one; else its text.',
});

const shown = {
  id: uuid('Of the delivery.'),
  event_type: Type.String(),
  path: Type.String({ description: 'The URL it goes to.' }),
  http_method: Type.Literal('POST'),
  status: oneOf(statusWords),
  response_status_code: statusCode,
  created_at: time('When it came to be.'),
  last_attempt: nullable(time('When the newest attempt began.')),
};

const Summary = Type.Object(
  {
    ...shown,
    transaction_id: nullable(Type.String({ description: 'The group of its event: what its events have in common.' })),
  },
  { title: 'GravvHistoryItem' },
);

export const History = Type.Object(
  {
    items: Type.Array(Summary),
    items_per_page: Type.Integer(),
    page: Type.Integer(),
    total_items: Type.Integer({ description: 'All that match, counted up to 100,000.' }),
    total_pages: Type.Integer(),
  },
  { title: 'GravvHistory' },
);

export const Detail = Type.Object(
  {
    ...shown,
    event_id: Type.String({ description: 'As in the payload.' }),
    request_headers: headers,
    payload: Type.Unknown({ description: 'The body that is sent; null once the payload is past its retention.' }),
    response_headers: headers,
    response_body: responseBody,
    attempts: Type.Integer({ description: 'Attempts made so far.' }),
    max_retries: Type.Integer({ description: 'Retries after which it has failed.' }),
    next_attempt: nullable(time('When it is tried (again), where it waits.')),
    updated_at: time('When something last happened to it.'),
  },
  { title: 'GravvEvent' },
);

export const Call = Type.Object(
  {
    id: uuid('Of the attempt.'),
    attempt: Type.Integer({ description: 'From 1.' }),
    status: oneOf(['sent', 'failed']),
    path: Type.String({ description: 'The URL it goes to.' }),
    http_method: Type.Literal('POST'),
    response_status_code: nullable(Type.Integer()),
    response_headers: headers,
    response_body: responseBody,
    error: nullable(Type.String({ description: 'Why there is no complete response: `timeout`, …' })),
    duration_ms: Type.Integer(),
    created_at: time('When it began.'),
  },
  { title: 'GravvCall' },
);

export const Sent = Type.Object(
  {
    id: uuid('Of the delivery.'),
    tenant_id: Type.String(),
    event_category: Type.String(),
    target_url: Type.String(),
    status_code: nullable(Type.Integer({ description: 'Null where there was no response, or none yet.' })),
    duration_ms: nullable(Type.Integer({ description: 'Null where the attempt is not over yet.' })),
    response_body: responseBody,
  },
  { title: 'GravvSent' },
);

function shownOf(row: DeliveryRow, newest: Attempt | undefined): Record<string, unknown> {
  return {
    id: toUuid(row.id),
    event_type: row.eventType,
    path: row.endpointUrl,
    http_method: 'POST',
    status: statusOf(row),
    response_status_code: newest?.statusCode ?? null,
    created_at: formatTime(row.createdAt),
    last_attempt: formatTime(newest?.startedAt ?? null),
  };
}

export function summaryJson(row: DeliveryRow, newest: Attempt | undefined): Record<string, unknown> {
  return { ...shownOf(row, newest), transaction_id: row.eventGroup };
}

/** All but the payload, which goes out as the text that it is. */
export function detailJson(
  row: DeliveryRow,
  newest: Attempt | undefined,
  more: { eventId: string; requestHeaders: Record<string, string>; retries: number },
): Record<string, unknown> {
  const ended = newest === undefined ? row.createdAt : newest.startedAt + Math.round(newest.durationMs);
  return {
    ...shownOf(row, newest),
    event_id: more.eventId,
    request_headers: more.requestHeaders,
    ...responseOf(newest),
    attempts: row.attemptCount,
    max_retries: row.scheduleStart + more.retries,
    next_attempt: formatTime(row.dueAt),
    updated_at: formatTime(row.endedAt ?? ended),
  };
}

export function callJson(row: DeliveryRow, attempt: Attempt): Record<string, unknown> {
  return {
    id: toUuid(attemptId(attempt.deliveryId, attempt.number)),
    attempt: attempt.number,
    status: attempt.succeeded ? 'sent' : 'failed',
    path: row.endpointUrl,
    http_method: 'POST',
    response_status_code: attempt.statusCode,
    ...responseOf(attempt),
    error: attempt.failure,
    duration_ms: Math.round(attempt.durationMs),
    created_at: formatTime(attempt.startedAt),
  };
}

export function sentJson(row: DeliveryRow, attempt: Attempt | null): Record<string, unknown> {
  return {
    id: toUuid(row.id),
    tenant_id: row.tenantId,
    event_category: row.eventCategory ?? row.eventType.split('.', 1)[0]!,
    target_url: row.endpointUrl,
    status_code: attempt?.statusCode ?? null,
    duration_ms: attempt === null ? null : Math.round(attempt.durationMs),
    response_body: responseOf(attempt ?? undefined).response_body,
  };
}

function responseOf(attempt: Attempt | undefined): { response_headers: object | null; response_body: unknown } {
  if (attempt === undefined || attempt.statusCode === null) return { response_headers: null, response_body: null };
  const detail = JSON.parse(attempt.detail) as AttemptDetail;
  const body = detail.responseBody ?? '';
  return {
    response_headers: headersJson(detail.responseHeaders ?? []),
    response_body: body === '' ? null : (objectIn(body) ?? body),
  };
}

function objectIn(text: string): object | null {
  if (!text.trimStart().startsWith('{')) return null;
  try {
    return JSON.parse(text) as object;
  } catch {
    return null;
  }
}
