const HEAD_END = Buffer.from('\r\n\r\n');
// Without its first letters, which come in either case.
const LENGTH_NAME = Buffer.from('ontent-');
const COLON = 58;
const CR = 13;

/** Called for each whole message: it lies in `bytes` from `start`, its body from `bodyStart` to `end`. Valid during the call only. */
export type OnMessage = (bytes: Buffer, start: number, bodyStart: number, end: number) => void;

/**
 * Cuts a stream of HTTP/1.1 messages, requests or responses, that are framed by `content-length` (none = no body).
 * Messages may come in pieces or several at once. It knows just enough HTTP for the two ends of a benchmark.
 */
export class Framer {
  #rest: Buffer | null = null;
  readonly #onMessage: OnMessage;

  constructor(onMessage: OnMessage) {
    this.#onMessage = onMessage;
  }

  /** `chunk` may be reused by the caller afterwards. */
  push(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    let start = 0;
    while (start < bytes.length) {
      const headEnd = bytes.indexOf(HEAD_END, start);
      if (headEnd < 0) break;
      const bodyStart = headEnd + 4;
      const end = bodyStart + contentLength(bytes, start, headEnd);
      if (end > bytes.length) break;
      this.#onMessage(bytes, start, bodyStart, end);
      start = end;
    }
    if (start < bytes.length) this.#rest = Buffer.from(bytes.subarray(start));
  }
}

function contentLength(bytes: Buffer, start: number, headEnd: number): number {
  for (let at = bytes.indexOf(LENGTH_NAME, start); at >= 0 && at < headEnd; at = bytes.indexOf(LENGTH_NAME, at + 1)) {
    // `content-length:` and not `content-type:` or `content-encoding:`, which are told apart by where the colon stands
    // and by the letter before it.
    const colon = at + LENGTH_NAME.length + 6;
    if (bytes[colon] !== COLON || (bytes[colon - 1]! | 32) !== 104) continue;
    let value = 0;
    for (let i = colon + 1; bytes[i] !== CR; i++) {
      const digit = bytes[i]! - 48;
      if (digit >= 0 && digit <= 9) value = value * 10 + digit;
    }
    return value;
  }
  return 0;
}
