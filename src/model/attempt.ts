import type { Id } from './id.ts';

/** One HTTP exchange of a delivery, as it is kept. Its id is derived: `attemptId(deliveryId, number)`. */
export interface Attempt {
  deliveryId: Id;
  /** From 1, over the delivery's whole life. */
  number: number;
  /** Epoch ms at which the exchange began. */
  startedAt: number;
  durationMs: number;
  /** True for a 2xx answer received whole (or cut at the body cap). */
  succeeded: boolean;
  /** HTTP status, or null where no head of a response arrived. */
  statusCode: number | null;
  /** Why there is no complete response (`connect_refused`, `timeout`, …); null where there is one. */
  failure: string | null;
  /** Everything else, as JSON text: see {@link AttemptDetail}. */
  detail: string;
}

/** What an attempt keeps beside its outcome. Absent members did not occur. */
export interface AttemptDetail {
  /** Address the socket was connected to. */
  remoteAddress?: string;
  /** For the operator only: never shown to tenants. */
  note?: string;
  dnsMs?: number;
  connectMs?: number;
  tlsMs?: number;
  firstByteMs?: number;
  /** Flat: name, value, name, value. */
  responseHeaders?: readonly string[];
  /** The first 16 KiB at most. */
  responseBody?: string;
  responseTruncated?: true;
}
