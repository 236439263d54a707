import Type, { type Static } from 'typebox';
import type { EndpointInput, EndpointVerbs } from '../delivery/engine.ts';
import { publicEndpointId } from '../delivery/message.ts';
import { badField } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { prefixes } from '../model/id.ts';
import { formatDuration, parseDuration } from '../model/retry.ts';
import { duration, nullable, oneOf, time, WireFormat, wireFormatWords } from './schema.ts';
import { formatTime } from './time.ts';

const strings = (description: string) => Type.Record(Type.String(), Type.String(), { description });

const events = Type.Array(Type.String(), {
  minItems: 1,
  maxItems: 256,
  description: 'Event types and patterns: `order.created`, `order.*`, `*`.',
  'x-item': 'event type',
});
const url = Type.String({
  description: 'Where to send: an absolute URL of at most 2,048 characters, without credentials.',
});
const optional = {
  description: Type.Optional(nullable(Type.String({ maxLength: 1024 }))),
  isActive: Type.Optional(Type.Boolean({ description: 'False holds its deliveries until it is enabled.' })),
  wireFormat: Type.Optional(
    Type.Unsafe<string | object | null>({
      ...WireFormat,
      type: ['string', 'object', 'null'],
      description: `${wireFormatWords} Null or absent: that of the tenant, else of the instance.`,
    }),
  ),
  secret: Type.Optional(
    nullable(Type.String({ description: 'Signing secret of your own, as the format wants it; else one is made.' })),
  ),
  headers: Type.Optional(nullable(strings('Headers of your own, sent with every delivery.'))),
  retrySchedule: Type.Optional(
    nullable(
      Type.Array(duration('A wait.'), {
        maxItems: 50,
        description: 'Waits between attempts; null: the instance’s. An empty list tries once.',
        'x-item': 'wait',
      }),
    ),
  ),
  timeout: Type.Optional(nullable(duration('Longest that one attempt may take, 500ms to 60s; null: the instance’s.'))),
  concurrency: Type.Optional(
    nullable(Type.Integer({ minimum: 1, maximum: 1000, description: 'Attempts at once; null: the instance’s.' })),
  ),
  metadata: Type.Optional(nullable(strings('Yours to use; at most 32 names.'))),
};

/** The fields in which webhooks are made and changed, and taken over from another system. */
export const webhookFields = { url, events, ...optional };

/** Unknown fields are ignored, as the clients of the Grantex contract rely on. */
export const WebhookCreate = Type.Object(webhookFields, { title: 'WebhookCreate' });
export const WebhookUpdate = Type.Object(
  { url: Type.Optional(url), events: Type.Optional(events), ...optional },
  { title: 'WebhookUpdate' },
);

const shown = {
  id: Type.String({ description: '`wh_…`, or the id it had where it came from.' }),
  url: Type.String(),
  events: Type.Array(Type.String()),
  description: nullable(Type.String()),
  isActive: Type.Boolean(),
  disabledReason: nullable(
    oneOf(['by_user', 'gone', 'failing'], { description: 'Why it does not receive; null while it does.' }),
  ),
  wireFormat: WireFormat,
  publicKey: nullable(
    Type.String({ description: '`whpk_…`: what receivers verify with, where it signs with ed25519; else null.' }),
  ),
  headers: nullable(Type.Record(Type.String(), Type.String())),
  retrySchedule: nullable(Type.Array(Type.String())),
  timeout: nullable(Type.String()),
  concurrency: nullable(Type.Integer()),
  metadata: nullable(Type.Record(Type.String(), Type.String())),
  previousSecretExpiresAt: nullable(time('Until when the secret before this one signs too.')),
  createdAt: time('When it was made.'),
  updatedAt: time('When it was last changed.'),
};

export const Webhook = Type.Object(shown, { title: 'Webhook' });
export const WebhookWithSecret = Type.Object(
  { ...shown, secret: Type.String({ description: 'The signing secret; shown this once.' }) },
  { title: 'WebhookWithSecret' },
);

/** To make a public key takes 0.15 ms of CPU, which a list of 1,000 would feel; an endpoint that changes is another object. */
const presentKeys = new WeakMap<Endpoint, string | null>();

function presentKey(endpoint: Endpoint, endpoints: Pick<EndpointVerbs, 'publicKeys'>): string | null {
  let key = presentKeys.get(endpoint);
  if (key === undefined) {
    // By the id that no other tenant can have.
    const keys = endpoints.publicKeys(prefixes.endpoint + endpoint.id);
    presentKeys.set(endpoint, (key = keys.find(({ expiresAt }) => expiresAt === null)?.key ?? null));
  }
  return key;
}

/** An endpoint as it is shown: never with its secrets. */
export function webhookJson(endpoint: Endpoint, endpoints: Pick<EndpointVerbs, 'publicKeys'>): Record<string, unknown> {
  const previous = endpoint.secrets.flatMap(({ expiresAt }) => expiresAt ?? []);
  return {
    id: publicEndpointId(endpoint),
    url: endpoint.url,
    events: endpoint.events,
    description: endpoint.description,
    isActive: endpoint.isActive,
    disabledReason: endpoint.disabledReason,
    wireFormat: endpoint.wireFormat,
    publicKey: presentKey(endpoint, endpoints),
    headers: endpoint.headers,
    retrySchedule: endpoint.retryScheduleMs?.map(formatDuration) ?? null,
    timeout: endpoint.timeoutMs === null ? null : formatDuration(endpoint.timeoutMs),
    concurrency: endpoint.concurrency,
    metadata: endpoint.metadata,
    previousSecretExpiresAt: previous.length === 0 ? null : formatTime(Math.max(...previous)),
    createdAt: formatTime(endpoint.createdAt),
    updatedAt: formatTime(endpoint.updatedAt),
  };
}

/** The fields of a request that are known, with durations as ms. */
export function endpointInput(body: Static<typeof WebhookUpdate>): Partial<EndpointInput> {
  const { url, events, description, isActive, wireFormat, secret, headers, concurrency, metadata } = body;
  const { retrySchedule, timeout } = body;
  const given = { url, events, description, isActive, wireFormat, secret, headers, concurrency, metadata };
  const input: Partial<EndpointInput> = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
  if (retrySchedule !== undefined) {
    input.retryScheduleMs = retrySchedule?.map((text, i) => durationMs(text, `retrySchedule[${i}]`)) ?? null;
  }
  if (timeout !== undefined) input.timeoutMs = timeout === null ? null : durationMs(timeout, 'timeout');
  return input;
}

/** Ms of a duration whose form was checked. Throws BAD_REQUEST where it is too long to count. */
export function durationMs(text: string, field: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw badField(field, 'must be a duration like "10s", "5m", "2h" or "1d"');
  return ms;
}
