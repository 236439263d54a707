import { badField, PosthornError } from '../errors.ts';
import { isEventType } from '../model/event.ts';
import { prefixes } from '../model/id.ts';
import { JsonError, parseStrictJson } from '../model/json.ts';
import { nearest } from '../model/nearest.ts';
import { isTenantId } from '../model/tenant.ts';

/** An event that is to exist if, and only if, the transaction it is emitted in commits. */
export interface OutboxEvent {
  /** `order.created`: segments of letters, digits, `_` and `-`, joined by dots; at most 128 characters. */
  type: string;
  /** Payload: anything that JSON can carry. At most 16 Mi characters as JSON. */
  data: unknown;
  /** Whose endpoints get it; default `default`. */
  tenant?: string | null;
  /** Your own id: visible ASCII without full stops, 1 to 128 characters. The same id again is the same event. */
  id?: string | null;
  /** Default: the moment it is emitted. */
  occurredAt?: Date | null;
  /** Default: the first segment of the type. */
  category?: string | null;
  /** Ties related events together; the ordering key. */
  group?: string | null;
  /** Where it comes from. */
  source?: string | null;
}

/** The same, checked, as it is stored. */
export interface OutboxValues {
  type: string;
  /** JSON text. */
  data: string;
  tenant: string;
  id: string | null;
  occurredAt: Date | null;
  category: string | null;
  group: string | null;
  source: string | null;
}

const DEFAULT_TENANT = 'default';
const MAX_DATA = 16 * 1024 * 1024;
const OWN_ID = /^[\x21-\x2d\x2f-\x7e]{1,128}$/;
const LABEL = /^[^\p{Cc}]{1,256}$/u;
const FIRST_MOMENT = Date.UTC(1000, 0);
const LAST_MOMENT = Date.UTC(10_000, 0) - 1;

const known = ['type', 'data', 'tenant', 'id', 'occurredAt', 'category', 'group', 'source'];

/**
 * Checks an event by the rules of publishing, so that none is stored that could never be sent: what is found later can
 * no longer be told to whoever emitted it.
 * @throws PosthornError `BAD_REQUEST` or `PAYLOAD_TOO_LARGE`, which names the field and says what to give
 */
export function readOutboxEvent(event: OutboxEvent): OutboxValues {
  if (typeof event !== 'object' || event === null) {
    throw badField('event', "must be an object like { type: 'order.created', data: {} }");
  }
  for (const name in event) {
    if (known.includes(name)) continue;
    const guess = nearest(name, known);
    const remedy = guess === null ? `known are ${known.join(', ')}` : `did you mean "${guess}"?`;
    throw badField(name, `is not known; ${remedy}`);
  }
  const { type, tenant, id, occurredAt, category, group, source } = event;
  if (typeof type !== 'string' || !isEventType(type)) {
    throw badField(
      'type',
      'must be a name like "order.created": segments of letters, digits, "_" and "-", joined by dots, 128 characters at most',
    );
  }
  if (tenant != null && !(typeof tenant === 'string' && isTenantId(tenant))) {
    throw badField(
      'tenant',
      'must be 1 to 128 letters, digits, ".", "_", ":" or "-", and begin with a letter or digit',
    );
  }
  checkId(id);
  if (occurredAt != null && !isMoment(occurredAt)) throw badField('occurredAt', 'must be a valid Date');
  checkLabel('category', category);
  checkLabel('group', group);
  checkLabel('source', source);
  return {
    type,
    data: jsonOf(event.data),
    tenant: tenant ?? DEFAULT_TENANT,
    id: id ?? null,
    occurredAt: occurredAt ?? null,
    category: category ?? null,
    group: group ?? null,
    source: source ?? null,
  };
}

/** True for times that every receiver can read: years of four digits. `ms`: epoch milliseconds. */
export function isMomentAt(ms: number): boolean {
  return ms >= FIRST_MOMENT && ms <= LAST_MOMENT;
}

function isMoment(value: unknown): boolean {
  return value instanceof Date && isMomentAt(value.getTime());
}

function checkId(id: unknown): void {
  if (id == null) return;
  if (typeof id !== 'string' || !OWN_ID.test(id)) {
    throw badField('id', 'must be 1 to 128 visible ASCII characters, without spaces and full stops');
  }
  if (id.toLowerCase().startsWith(prefixes.event)) {
    throw badField('id', `must not begin with "${prefixes.event}": such ids are given by Posthorn`);
  }
}

function checkLabel(name: string, value: unknown): void {
  if (value != null && !(typeof value === 'string' && LABEL.test(value))) {
    throw badField(name, 'must be 1 to 256 characters, none of them a control character');
  }
}

function jsonOf(data: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (cause) {
    throw badField('data', `cannot be written as JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (text === undefined) throw badField('data', 'is missing; give any value that JSON can carry');
  if (text.length > MAX_DATA) {
    const message = `data: takes ${text.length} characters as JSON; give at most ${MAX_DATA}, or a link to the rest`;
    throw new PosthornError('PAYLOAD_TOO_LARGE', message);
  }
  try {
    parseStrictJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw badField('data', `cannot be sent: ${cause.message}`);
  }
  return text;
}
