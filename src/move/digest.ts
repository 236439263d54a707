import { hash } from 'node:crypto';
import type { Row } from './source.ts';

/** Few enough to keep, enough that a wrong row is found among some thousand. */
const BUCKETS = 4096;

/**
 * What the rows of a table come to, in whatever order: their number, the number in each status, and the sum of their
 * hashes, kept in buckets so that a difference can be traced to its rows.
 */
export class Digest {
  rows = 0;
  readonly byStatus = new Map<string, number>();
  readonly #sums = new Float64Array(BUCKETS * 2);
  readonly #status: number;

  /** @param status index of the column with the status; -1 = there is none */
  constructor(status: number) {
    this.#status = status;
  }

  add(row: Row): void {
    const { bucket, low, high } = hashOf(row);
    this.rows++;
    if (this.#status >= 0) {
      const status = row[this.#status] as string;
      this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1);
    }
    this.#add(bucket * 2, low);
    this.#add(bucket * 2 + 1, high);
  }

  /** 16 hexadecimal digits. */
  get checksum(): string {
    let text = '';
    for (const lane of [1, 0]) {
      let sum = 0;
      for (let at = lane; at < this.#sums.length; at += 2) sum = (sum + this.#sums[at]!) % 2 ** 32;
      text += sum.toString(16).padStart(8, '0');
    }
    return text;
  }

  /** The buckets in which two tables differ. */
  differences(other: Digest): Set<number> {
    const buckets = new Set<number>();
    for (const [at, sum] of this.#sums.entries()) if (sum !== other.#sums[at]) buckets.add(at >> 1);
    return buckets;
  }

  #add(at: number, word: number): void {
    this.#sums[at] = (this.#sums[at]! + word) % 2 ** 32;
  }
}

/** The bucket a row belongs to: by all its values, so a changed row leaves one and enters another. */
export function bucketOf(row: Row): number {
  return hashOf(row).bucket;
}

function hashOf(row: Row): { bucket: number; low: number; high: number } {
  const bytes = hash('sha256', JSON.stringify(row), 'buffer');
  return { bucket: bytes.readUInt16BE(8) % BUCKETS, low: bytes.readUInt32BE(0), high: bytes.readUInt32BE(4) };
}
