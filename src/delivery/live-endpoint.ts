import type { Endpoint } from '../model/endpoint.ts';
import type { RetryPolicy } from '../model/retry.ts';
import type { SigningKey } from '../wire/wire.ts';
import { wireFormatOf } from './endpoint-fields.ts';
import type { LiveEndpoint } from './subscriptions.ts';

/** What endpoints get that say nothing. */
export interface EndpointDefaults {
  wireFormat: string | object;
  retry: RetryPolicy;
  timeoutMs: number;
  concurrency: number;
}

/** Makes an endpoint ready for sending. */
export function liveEndpoint(endpoint: Endpoint, defaults: EndpointDefaults): LiveEndpoint {
  const format = wireFormatOf(endpoint.wireFormat);
  return {
    endpoint,
    format,
    keys: endpoint.secrets.map(({ value, expiresAt }) => ({ key: format.key(value), expiresAt })),
    extraHeaders: extraHeadersOf(endpoint),
    retry:
      endpoint.retryScheduleMs === null ? defaults.retry : { ...defaults.retry, scheduleMs: endpoint.retryScheduleMs },
    timeoutMs: endpoint.timeoutMs ?? defaults.timeoutMs,
    concurrency: endpoint.concurrency ?? defaults.concurrency,
  };
}

/** The owner's own headers, flat; null without any. */
export function extraHeadersOf({ headers }: Endpoint): readonly string[] | null {
  return headers === null ? null : Object.entries(headers).flat();
}

const keyLists = new WeakMap<LiveEndpoint, { keys: SigningKey[]; until: number }>();

/** The keys that sign at this moment, newest first: made anew only when one expires. */
export function keysAt(live: LiveEndpoint, at: number): readonly SigningKey[] {
  let list = keyLists.get(live);
  if (!list || at >= list.until) {
    const alive = live.keys.filter(({ expiresAt }) => expiresAt === null || expiresAt > at);
    const until = Math.min(...alive.map(({ expiresAt }) => expiresAt ?? Number.POSITIVE_INFINITY));
    keyLists.set(live, (list = { keys: alive.map(({ key }) => key), until }));
  }
  return list.keys;
}
