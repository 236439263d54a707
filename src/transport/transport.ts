/**
 * The guarded sender: the only way out. Every outbound request of any kind goes through it, because tenants choose the
 * URLs. This file is its door: types, `createSender`, `checkUrl`.
 */
import type { Resolver } from './resolve.ts';

export { checkUrl } from './url.ts';
export { createSender } from './sender.ts';
export { createResolver, ResolveError } from './resolve.ts';
export { parseCidr } from './address.ts';
export type { Resolver } from './resolve.ts';

/** Where this deployment may send. Set by the operator, never by a tenant. Nothing set: public https on 443 and 8443. */
export interface GuardPolicy {
  /** Plain http, and with it port 80. */
  allowHttp: boolean;
  /** 127.0.0.0/8, ::1 and the names `localhost` and `*.localhost`. For development. */
  allowLoopback: boolean;
  /** Networks such as `10.1.0.0/16` or `fd00:1::/32` that count as allowed. With any, internal host names are allowed too. */
  allowCidrs: readonly string[];
  /** Ports beyond 443, 8443 (and 80 when allowHttp). */
  allowPorts: readonly number[];
  /** Every port from 1 to 65535. */
  allowAnyPort: boolean;
}

/** One POST to send. */
export interface SendRequest {
  url: string;
  /** Flat name, value, name, value; names reach the wire in exactly this letter case. */
  headers: readonly string[];
  body: Buffer;
  /** The one deadline: from DNS to the last byte of the response. */
  timeoutMs: number;
}

/** Why no complete response arrived. Each failure has one name. */
export type FailureReason =
  | 'blocked_destination'
  | 'dns_not_found'
  | 'dns_failed'
  | 'dns_timeout'
  | 'connect_refused'
  | 'connect_timeout'
  | 'connect_reset'
  | 'connect_unreachable'
  | 'tls_expired'
  | 'tls_wrong_host'
  | 'tls_untrusted'
  | 'tls_failed'
  | 'tls_timeout'
  /** Connected, but head or body were late. */
  | 'timeout'
  /** The receiver closed in the middle of the exchange. */
  | 'reset'
  /** Not HTTP, headers too large, a flood of 1xx, an upgrade nobody asked for. */
  | 'bad_response'
  /** Never sent, or stopped, by this side: the sender was closed or the request itself cannot be sent. */
  | 'cancelled';

/** One HTTP exchange as it happened. A value, never thrown: a 500 or a refused connection is an outcome. */
export interface Exchange {
  /** null: no response head arrived. A status beside a reason means that the body did not arrive whole. */
  statusCode: number | null;
  /** null when a complete response arrived, whatever its status; also when it was cut at the 16 KiB kept. */
  reason: FailureReason | null;
  /** For the operator's log and history, e.g. `ECONNREFUSED 10.0.0.1:443`. Not for tenants when the reason is `blocked_destination`. */
  detail: string | null;
  /** Flat, as received, whole headers up to 8 KiB. */
  responseHeaders: readonly string[] | null;
  /** Head of the body, at most 16 KiB, UTF-8 with replacement characters, never inflated. null: no byte of a body arrived. */
  responseBody: string | null;
  responseTruncated: boolean;
  /** The peer's address; null when no connection came about. */
  remoteAddress: string | null;
  /** Epoch ms. */
  startedAt: number;
  /** Duration of the look-up; null on a kept-alive connection and for IP literals. */
  dnsMs: number | null;
  /** Duration until TCP was connected; null on a kept-alive connection. */
  connectMs: number | null;
  /** Duration of the TLS handshake; null on plain http and on a kept-alive connection. */
  tlsMs: number | null;
  /** From the request written to the first byte of the response. */
  firstByteMs: number | null;
  /** The whole exchange. */
  totalMs: number;
  /** The raw Retry-After header. */
  retryAfter: string | null;
}

/** Sends requests through the guard and keeps connections for reuse. */
export interface Sender {
  /** Starts one exchange. `done` is called exactly once, never before `send` returned. Never throws. */
  send(request: SendRequest, done: (exchange: Exchange) => void): void;
  /** Takes no more, waits up to `graceMs` for exchanges under way, cancels the rest, closes every socket. May be called again. */
  close(graceMs: number): Promise<void>;
  /** Exchanges started and not yet done. */
  inFlight(): number;
}

export interface SenderOptions {
  policy: GuardPolicy;
  /** Default: hosts file and the system's DNS servers. */
  resolver?: Resolver;
  /** PEM of further authorities to trust beside Node's own. */
  ca?: string | Buffer;
  /** Longest time a connection waits for reuse. Default 30 s; 4 s where the server does not say how long it keeps it. */
  maxIdleMs?: number;
  /** Idle connections kept over all origins; the longest idle goes first. Default 1,024. */
  maxIdleConnections?: number;
}

/** What `checkUrl` says of a destination. `message` names what is wrong and the remedy. */
export type UrlVerdict =
  | { ok: true; /** normalised href */ url: string }
  | {
      ok: false;
      code: 'url_invalid' | 'url_scheme' | 'url_credentials' | 'url_port' | 'url_too_long' | 'url_host' | 'url_blocked';
      message: string;
    };
