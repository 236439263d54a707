import type { AttemptDetail } from '../model/attempt.ts';
import type { Exchange } from '../transport/transport.ts';

/** The exchange that did not come about because the request could not be made. */
export function notSent(startedAt: number, detail: string): Exchange {
  return {
    statusCode: null,
    reason: 'cancelled',
    detail,
    responseHeaders: null,
    responseBody: null,
    responseTruncated: false,
    remoteAddress: null,
    startedAt,
    dnsMs: null,
    connectMs: null,
    tlsMs: null,
    firstByteMs: null,
    totalMs: 0,
    retryAfter: null,
  };
}

/** What is kept of an exchange beside its outcome. */
export function detailOf(exchange: Exchange): AttemptDetail {
  const detail: AttemptDetail = {};
  if (exchange.remoteAddress !== null) detail.remoteAddress = exchange.remoteAddress;
  if (exchange.detail !== null) detail.note = exchange.detail;
  if (exchange.dnsMs !== null) detail.dnsMs = exchange.dnsMs;
  if (exchange.connectMs !== null) detail.connectMs = exchange.connectMs;
  if (exchange.tlsMs !== null) detail.tlsMs = exchange.tlsMs;
  if (exchange.firstByteMs !== null) detail.firstByteMs = exchange.firstByteMs;
  if (exchange.responseHeaders !== null) detail.responseHeaders = exchange.responseHeaders;
  if (exchange.responseBody) detail.responseBody = exchange.responseBody;
  if (exchange.responseTruncated) detail.responseTruncated = true;
  return detail;
}
