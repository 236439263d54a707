/** An event as its receiver sees it, whatever the format. */
export interface WebhookEvent<Data = unknown> {
  /**
   * Stays the same over retries and redeliveries: remember the ids you have handled. Null where the format has none
   * (grantiva). In lexigram it comes from a header that is not signed.
   */
  id: string | null;
  /** In lexigram it comes from a header that is not signed. */
  type: string | null;
  /** When it happened, ISO 8601; null where the format does not say (lexigram). */
  occurredAt: string | null;
  /** What was published. */
  data: Data;
  /** The whole body, parsed; undefined where it is not JSON. */
  payload: unknown;
}

/**
 * Why a request was refused. `missing_header`, `bad_header`: a header of the signature is not there, or cannot be read;
 * `no_match`: another secret, or another body; `too_old`, `too_new`: signed at another time; `bad_secret`,
 * `bad_format`: what the receiver was set up with cannot be used; `unsupported`: this runtime cannot check it so.
 */
export type FailureCode =
  'missing_header' | 'bad_header' | 'no_match' | 'too_old' | 'too_new' | 'bad_secret' | 'bad_format' | 'unsupported';

/**
 * What happened to the body before it was verified. `body_parsed`: it is an object, no text or bytes;
 * `body_reserialised`: parsed and written again, and the signature is right for another spelling of the same JSON.
 */
export type FailureHint = 'body_parsed' | 'body_reserialised';

export interface Failure {
  ok: false;
  code: FailureCode;
  /** One or two sentences for a person: what is wrong and what to do. Holds no secret. */
  message: string;
  hint?: FailureHint;
}

export type Verification<Data = unknown> = { ok: true; event: WebhookEvent<Data> } | Failure;

export function fail(code: FailureCode, message: string, hint?: FailureHint): Failure {
  return hint === undefined ? { ok: false, code, message } : { ok: false, code, message, hint };
}
