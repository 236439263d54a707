import { PosthornError, type ErrorCode, type FieldError } from '../errors.ts';

/** `STORE_UNAVAILABLE` → `store-unavailable`. */
type Kebab<Code extends string> = Code extends `${infer Head}_${infer Rest}`
  ? `${Lowercase<Head>}-${Kebab<Rest>}`
  : Lowercase<Code>;

/**
 * What can go wrong, for programs. The first row is the library's own; the others are the codes of docs/errors.md in
 * lower case (`bad-request`, `overloaded`, `store-unavailable`, …).
 */
export type FailureCode =
  | 'webhook-error'
  | 'subscription-not-found'
  | 'subscription-inactive'
  | 'invalid-url'
  | 'attempt-not-found'
  | 'rotation-failed'
  | 'invalid-signature'
  | Kebab<ErrorCode>;

/** An expected outcome that is not the one wished for. */
export interface Failure {
  readonly code: FailureCode;
  /** What is wrong and what to do, for people. */
  readonly message: string;
  /** The fields that are wrong, where there are such. */
  readonly fields: readonly FieldError[];
  /** Seconds after which to try again, where waiting helps. */
  readonly retryAfterSeconds: number | null;
}

export interface Ok<Value> {
  readonly ok: true;
  readonly value: Value;
}

export interface Err {
  readonly ok: false;
  readonly error: Failure;
}

/** Every verb answers with one of these; only faults of the program, and of Posthorn, are thrown. */
export type Result<Value> = Ok<Value> | Err;

export function ok<Value>(value: Value): Ok<Value> {
  return { ok: true, value };
}

export function err(code: FailureCode, message: string, error?: PosthornError): Err {
  return {
    ok: false,
    error: { code, message, fields: error?.fields ?? [], retryAfterSeconds: error?.retryAfterSeconds ?? null },
  };
}

/**
 * Runs a verb of the engine and gives what it throws as a value, under another code where `codes` has one.
 * @param codes the engine's code → the library's
 */
export async function attempt<Value>(
  work: () => Value | Promise<Value>,
  codes: { readonly [code in ErrorCode]?: FailureCode } = {},
): Promise<Result<Value>> {
  try {
    return ok(await work());
  } catch (error) {
    if (!(error instanceof PosthornError) || error.code === 'INTERNAL') throw error;
    const isUrl = error.code === 'BAD_REQUEST' && error.fields.some(({ field }) => field === 'url');
    const code = codes[error.code] ?? (isUrl ? 'invalid-url' : codeOf(error.code));
    return err(code, error.message, error);
  }
}

function codeOf(code: ErrorCode): FailureCode {
  return code.toLowerCase().replaceAll('_', '-') as FailureCode;
}
