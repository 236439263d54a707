import { createHash } from 'node:crypto';
import type { Message } from './source.ts';

/** A message that is no event; the text says why. */
export class NoEvent extends Error {}

/** What the parts of {@link mapMessage} work on. */
export interface Parsed {
  message: Message;
  /** The body as it came; JSON unless `value` is undefined. */
  text: string;
  value: unknown;
}

/** Members of an event, each as JSON text, so that data stay byte for byte as they came. */
export type Members = Record<string, string>;

/** A key as it is, where `Idempotency-Key` takes it, else its SHA-256. */
export function fittingKey(key: string): string {
  return /^[\x21-\x7e]{1,255}$/.test(key) ? key : `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

/** Words of a message, for a reason: not more of them than are needed to find it. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
