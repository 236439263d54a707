import type { Id } from './id.ts';

/** An event: immutable once accepted. */
export interface Event {
  id: Id;
  tenantId: string;
  /** The publisher's own id, where it gave one; shown instead of `evt_…` everywhere, and in `webhook-id`. */
  ownId: string | null;
  type: string;
  /** JSON text exactly as the publisher sent it; '' once it is forgotten, past the retention of payloads. */
  data: string;
  /** Epoch ms; when it happened at the publisher's. */
  occurredAt: number;
  category: string | null;
  /** Ordering key: events of one group belong together. */
  group: string | null;
  source: string | null;
  /** Epoch ms; when it was accepted. */
  createdAt: number;
}

const TYPE = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const PATTERN = /^(\*|[A-Za-z0-9_-]+)(\.([A-Za-z0-9_-]+|\*))*$/;

/** True for a name like `order.created`: segments of letters, digits, `_` and `-`, joined by dots, 128 characters at most. */
export function isEventType(text: string): boolean {
  return text.length <= 128 && TYPE.test(text);
}

/** True for an event type, for `*`, and for a name in which whole segments are `*`, as in `order.*`. */
export function isEventPattern(text: string): boolean {
  return text.length <= 128 && PATTERN.test(text);
}

export function isWildcard(pattern: string): boolean {
  return pattern.includes('*');
}

/**
 * Does a pattern match a type? `*` alone matches everything; a last `*` matches one or more segments
 * (`order.*` matches `order.created` and `order.item.added`); a `*` in the middle matches exactly one.
 */
export function matchesPattern(pattern: string, type: string): boolean {
  if (pattern === '*' || pattern === type) return true;
  if (!isWildcard(pattern)) return false;
  const wanted = pattern.split('.');
  const actual = type.split('.');
  if (wanted.at(-1) === '*') {
    if (actual.length < wanted.length) return false;
    return wanted.slice(0, -1).every((segment, i) => segment === '*' || segment === actual[i]);
  }
  return actual.length === wanted.length && wanted.every((segment, i) => segment === '*' || segment === actual[i]);
}
