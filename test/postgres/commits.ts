const QUERY = 0x51; // 'Q'
const SYNC = 0x53; // 'S'
/** Requests for TLS and GSS encryption come before the start-up message. */
const ENCRYPTION_REQUESTS = new Set([80877103, 80877104]);

/** Finds commits in the bytes of a client. PostgreSQL documentation, "Message Formats". */
export class CommitFinder {
  #rest: Buffer = Buffer.alloc(0);
  #isStarted = false;
  #isInTransaction = false;

  /** How many messages end within this chunk after which the server commits, if it can. */
  count(chunk: Buffer): number {
    let commits = 0;
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      // A message is a type (one byte; the start-up message has none), its length without the type, and its content.
      const typeBytes = this.#isStarted ? 1 : 0;
      if (this.#rest.length < typeBytes + 4) return commits;
      const length = typeBytes + this.#rest.readUInt32BE(typeBytes);
      if (this.#rest.length < length) return commits;
      const message = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      if (!this.#isStarted) this.#isStarted = !ENCRYPTION_REQUESTS.has(message.readUInt32BE(4));
      else if (this.#isCommit(message)) commits++;
    }
  }

  #isCommit(message: Buffer): boolean {
    if (message[0] === SYNC) return !this.#isInTransaction;
    if (message[0] !== QUERY) return false;
    const text = message.toString('utf8', 5, message.length - 1).trim();
    if (/^BEGIN\b/i.test(text)) this.#isInTransaction = true;
    else if (/^(COMMIT|ROLLBACK)\b/i.test(text)) this.#isInTransaction = false;
    return /^COMMIT\b/i.test(text);
  }
}
