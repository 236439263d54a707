import { memberSpans } from '../model/json.ts';
import { NoEvent, type Members, type Parsed } from './parsed.ts';

/**
 * A body that is a whole event: `{type, data, id?, occurredAt?, category?, group?, source?, idempotencyKey?}`. What the
 * members may hold is for the API to say. Throws {@link NoEvent}.
 */
export function wholeEvent({ text, value }: Parsed): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new NoEvent('its body is no event; one is like {"type":"order.created","data":{}}');
  }
  const members: Members = {};
  for (const [name, [start, end]] of memberSpans(text, 0)) {
    // Null stands for absent, and then it is the message that has a key.
    if (name === 'idempotencyKey' && (value as Record<string, unknown>)[name] === null) continue;
    members[name] = text.slice(start, end);
  }
  return members;
}
