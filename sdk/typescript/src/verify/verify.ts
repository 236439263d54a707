import { utf8 } from './bytes.ts';
import { prepareAlone, prepareWithNode, prepareWithWebCrypto } from './check.ts';
import type { AsyncCheck, Check, Prepare, PrepareAsync, Unfit } from './check.ts';
import { bodySignature, findFormat, type Format, type FormatName, type LexigramFormat } from './formats.ts';
import type { WebhookHeaders } from './headers.ts';
import { judge, type Case } from './judge.ts';
import { fail, type Failure, type Verification } from './result.ts';
import { readSecret, type Secret } from './secret.ts';

export interface VerifyOptions {
  /** Default `standard`. */
  format?: FormatName | LexigramFormat;
  /** How far a signed time may be from now, either way; default 300. Some formats sign none. */
  toleranceSeconds?: number;
}

export interface VerifyInput extends VerifyOptions {
  /** The raw body, as it arrived. */
  payload: string | Uint8Array | ArrayBuffer;
  headers: WebhookHeaders;
  /** The webhook's secret; for `standard-ed25519` its public key, `whpk_…`. */
  secret?: string;
  /** Several, any of which may have signed, and `secret` too where both are given: while a secret rotates. */
  secrets?: readonly string[];
  /** Default now. */
  now?: Date | number;
}

const DEFAULT_TOLERANCE_SECONDS = 300;

/** Secrets ready for use: for each scheme of the format, one check for each secret. */
type Checks<One> = readonly (readonly One[])[];

/**
 * Was this request signed with one of the secrets, lately, in this format? Whatever comes in, the answer is a value:
 * the event, or a code and a message that names the cause. Compares in constant time.
 */
export function verifyWebhook<Data = unknown>(input: VerifyInput): Verification<Data> {
  return verifyWith(prepareWithNode ?? prepareAlone, input) as Verification<Data>;
}

/** The same by WebCrypto, for runtimes without node:crypto: there `standard-ed25519` and large bodies need it. */
export async function verifyWebhookAsync<Data = unknown>(input: VerifyInput): Promise<Verification<Data>> {
  if (prepareWithWebCrypto === undefined) return verifyWebhook<Data>(input);
  try {
    const setUp = readSetUp(input);
    if (isFailure(setUp)) return setUp;
    const checks = await prepareAllAsync(prepareWithWebCrypto, setUp);
    if (isFailure(checks)) return checks;
    const asked = caseOf(setUp.format, input);
    return (isFailure(asked) ? asked : await decideAsync(checks, asked)) as Verification<Data>;
  } catch (error) {
    return unreadable(error);
  }
}

/** {@link verifyWebhook} with the cryptography given. */
export function verifyWith(prepare: Prepare, input: VerifyInput): Verification {
  try {
    const setUp = readSetUp(input);
    if (isFailure(setUp)) return setUp;
    const checks = prepareAll(prepare, setUp);
    if (isFailure(checks)) return checks;
    const asked = caseOf(setUp.format, input);
    return isFailure(asked) ? asked : decide(checks, asked);
  } catch (error) {
    return unreadable(error);
  }
}

/**
 * A secret and a format made ready once, for receivers: `verify` then costs a few microseconds. A secret or a format
 * that cannot be used throws a TypeError here, when the receiver starts.
 */
export class Webhook {
  readonly #format: Format;
  readonly #checks: Checks<Check>;
  readonly #toleranceSeconds: number;

  /** `secret`: one, or several while a secret rotates. */
  constructor(secret: string | readonly string[] | undefined, options: VerifyOptions = {}) {
    const setUp = readSetUp({ ...options, secrets: typeof secret === 'string' ? [secret] : secret });
    if (isFailure(setUp)) throw new TypeError(setUp.message);
    const checks = prepareAll(prepareWithNode ?? prepareAlone, setUp);
    if (isFailure(checks)) throw new TypeError(checks.message);
    this.#format = setUp.format;
    this.#checks = checks;
    this.#toleranceSeconds = options.toleranceSeconds ?? DEFAULT_TOLERANCE_SECONDS;
  }

  /** As {@link verifyWebhook}; never throws. */
  verify<Data = unknown>(
    payload: string | Uint8Array | ArrayBuffer,
    headers: WebhookHeaders,
    now: Date | number = Date.now(),
  ): Verification<Data> {
    try {
      const asked = caseOf(this.#format, { payload, headers, now, toleranceSeconds: this.#toleranceSeconds });
      return (isFailure(asked) ? asked : decide(this.#checks, asked)) as Verification<Data>;
    } catch (error) {
      return unreadable(error);
    }
  }
}

/**
 * The check of the Grantex SDKs: is `signature` `sha256=` and the lower-case hex HMAC-SHA256 of the raw body, with the
 * secret as UTF-8? False for anything else, whatever comes in. It knows no time; {@link verifyWebhook} does.
 */
export function verifyWebhookSignature(payload: string | Uint8Array, signature: string, secret: string): boolean {
  try {
    const body = bodyOf(payload);
    if (body === null || typeof secret !== 'string' || secret === '' || !signature.startsWith('sha256=')) return false;
    const key = { kind: 'shared', bytes: utf8(secret) } as const;
    const check = (prepareWithNode ?? prepareAlone)(bodySignature('', 'sha256='), key);
    return typeof check === 'function' && check('', body, [signature.slice('sha256='.length)]);
  } catch {
    return false;
  }
}

interface SetUp {
  format: Format;
  /** By the kind of secret that a scheme takes. */
  secrets: ReadonlyMap<string, readonly Secret[]>;
}

function readSetUp(input: Pick<VerifyInput, 'format' | 'secret' | 'secrets'>): SetUp | Failure {
  const format = findFormat(input.format ?? 'standard');
  if (typeof format === 'string') return fail('bad_format', format);
  const several: unknown = input.secrets ?? [];
  const one: unknown[] = input.secret === undefined ? [] : [input.secret];
  const texts = Array.isArray(several) ? [...one, ...(several as unknown[])] : [];
  if (texts.length === 0) return fail('bad_secret', 'Give at least one secret.');
  const secrets = new Map<string, Secret[]>();
  for (const { secret: kind } of format.schemes) {
    const read: Secret[] = [];
    for (const [i, text] of texts.entries()) {
      const secret = readSecret(text, kind);
      if (typeof secret === 'string') return unfit({ code: 'bad_secret', problem: secret }, i);
      read.push(secret);
    }
    secrets.set(kind, read);
  }
  return { format, secrets };
}

function prepareAll(prepare: Prepare, { format, secrets }: SetUp): Checks<Check> | Failure {
  const checks: Check[][] = [];
  for (const scheme of format.schemes) {
    const row: Check[] = [];
    for (const [i, secret] of secrets.get(scheme.secret)!.entries()) {
      const check = prepare(scheme, secret);
      if (typeof check !== 'function') return unfit(check, i);
      row.push(check);
    }
    checks.push(row);
  }
  return checks;
}

async function prepareAllAsync(
  prepare: PrepareAsync,
  { format, secrets }: SetUp,
): Promise<Checks<AsyncCheck> | Failure> {
  const checks: AsyncCheck[][] = [];
  for (const scheme of format.schemes) {
    const row: AsyncCheck[] = [];
    for (const [i, secret] of secrets.get(scheme.secret)!.entries()) {
      const check = await prepare(scheme, secret);
      if (typeof check !== 'function') return unfit(check, i);
      row.push(check);
    }
    checks.push(row);
  }
  return checks;
}

function caseOf(format: Format, input: Omit<VerifyInput, 'format' | 'secret' | 'secrets'>): Case | Failure {
  const { headers, toleranceSeconds = DEFAULT_TOLERANCE_SECONDS } = input;
  const payload = bodyOf(input.payload);
  if (payload === null) {
    const message = 'The payload must be the raw body as text or bytes, not what a framework parsed from it.';
    return fail('no_match', message, 'body_parsed');
  }
  if (typeof headers !== 'object' || (headers as unknown) === null) {
    return fail('missing_header', 'There are no headers; give those of the request.');
  }
  const nowSeconds = Math.floor(Number(input.now ?? Date.now()) / 1000);
  return { format, payload, headers, nowSeconds, toleranceSeconds };
}

/** Text or bytes, also those of another realm, as test runners have them; else null. */
function bodyOf(payload: unknown): string | Uint8Array | null {
  if (typeof payload === 'string' || payload instanceof Uint8Array) return payload;
  if (Object.prototype.toString.call(payload) === '[object ArrayBuffer]') return new Uint8Array(payload as ArrayBuffer);
  return Object.prototype.toString.call(payload) === '[object Uint8Array]' ? (payload as Uint8Array) : null;
}

/** Every secret is tried, also after one fitted, so that the time tells nothing. */
function decide(checks: Checks<Check>, asked: Case): Verification {
  const course = judge(asked);
  let step = course.next();
  while (step.done !== true) {
    const { schemeIndex, before, body, candidates } = step.value;
    let matches = false;
    for (const check of checks[schemeIndex]!) if (check(before, body, candidates)) matches = true;
    step = course.next(matches);
  }
  return step.value;
}

async function decideAsync(checks: Checks<AsyncCheck>, asked: Case): Promise<Verification> {
  const course = judge(asked);
  let step = course.next();
  while (step.done !== true) {
    const { schemeIndex, before, body, candidates } = step.value;
    const answers = await Promise.all(checks[schemeIndex]!.map((check) => check(before, body, candidates)));
    step = course.next(answers.includes(true));
  }
  return step.value;
}

function unfit({ code, problem }: Unfit, index: number): Failure {
  return fail(code, `Secret ${index + 1}: ${problem}.`);
}

/** Getters and proxies may throw; a request that does so is refused like any other. */
function unreadable(error: unknown): Failure {
  return fail('bad_header', `The request could not be read: ${error instanceof Error ? error.message : 'no reason'}`);
}

function isFailure(value: object): value is Failure {
  return 'ok' in value;
}
