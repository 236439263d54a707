import { PosthornError } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { newId } from '../model/id.ts';
import { checkForFormat, checkSecrets, wireFormatOf } from './endpoint-fields.ts';
import type { EndpointInput } from './engine.ts';

/** Each live secret signs every attempt. */
const MAX_SECRETS = 5;

/**
 * An endpoint with changes whose fields were checked. Throws BAD_REQUEST where they do not fit together.
 * @param at epoch ms
 */
export function patchedEndpoint(before: Endpoint, fields: Partial<EndpointInput>, at: number): Endpoint {
  const { secret, isActive, url, events, wireFormat, description } = fields;
  const { headers, retryScheduleMs, timeoutMs, concurrency, metadata } = fields;
  const after: Endpoint = {
    ...before,
    url: url ?? before.url,
    events: events ?? before.events,
    wireFormat: wireFormat ?? before.wireFormat,
    description: description === undefined ? before.description : description,
    headers: headers === undefined ? before.headers : headers,
    retryScheduleMs: retryScheduleMs === undefined ? before.retryScheduleMs : retryScheduleMs,
    timeoutMs: timeoutMs === undefined ? before.timeoutMs : timeoutMs,
    concurrency: concurrency === undefined ? before.concurrency : concurrency,
    metadata: metadata === undefined ? before.metadata : metadata,
    secrets: secret == null ? before.secrets : [{ id: newId(at), value: secret, createdAt: at, expiresAt: null }],
    ...(isActive === undefined || isActive === before.isActive
      ? {}
      : { isActive, disabledReason: isActive ? null : 'by_user' }),
  };
  const format = wireFormatOf(after.wireFormat);
  checkForFormat(format, after.headers, secret ?? null);
  if (wireFormat != null && secret == null) checkSecrets(format, after.secrets);
  return after;
}

/**
 * An endpoint with a new secret, beside which the old ones sign for `graceMs`. Throws INVALID_STATE where too many do.
 * @param given null = one is made
 */
export function rotatedEndpoint(before: Endpoint, given: string | null, graceMs: number, at: number): Endpoint {
  const format = wireFormatOf(before.wireFormat);
  checkForFormat(format, null, given);
  const [present, ...older] = before.secrets;
  const inGrace = graceMs > 0 && present ? [{ ...present, expiresAt: at + graceMs }, ...older] : [];
  if (inGrace.length >= MAX_SECRETS) {
    throw new PosthornError(
      'INVALID_STATE',
      `${MAX_SECRETS} secrets are in force already. Wait until one expires, or rotate with a grace period of 0s, which ends them all.`,
    );
  }
  const secret = { id: newId(at), value: given ?? format.newSecret(), createdAt: at, expiresAt: null };
  return { ...before, secrets: [secret, ...inGrace] };
}
