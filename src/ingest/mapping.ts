import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { isEventType } from '../model/event.ts';
import { JsonError, parseStrictJson } from '../model/json.ts';
import { cloudEvent } from './cloud-event.ts';
import { wholeEvent } from './whole-event.ts';
import { fittingKey, NoEvent, quote, type Members, type Parsed } from './parsed.ts';
import type { Message } from './source.ts';

/** Where in a message something stands. */
export type Spot =
  { kind: 'subject' } | { kind: 'key' } | { kind: 'header'; name: string } | { kind: 'field'; path: readonly string[] };

/** How messages become events. */
export interface Mapping {
  /** `data`: the body is the event's data; `posthorn`: the whole event; `cloudevents`: as CloudEvents 1.0 has it. */
  envelope: 'data' | 'posthorn' | 'cloudevents';
  /** Of events whose body is their data. */
  type: string | Spot | null;
  group: Spot | null;
  /** What makes two messages the same; `broker`: what the broker knows them by. */
  id: 'broker' | 'body-hash' | Spot;
}

/** An event as `POST /v1/events` takes it, in JSON, or why the message cannot be one. */
export type Mapped = { text: string } | { reason: string };

/** Makes an event of a message. Pure: the same message gives the same text, whenever it is delivered again. */
export function mapMessage(message: Message, mapping: Mapping): Mapped {
  try {
    const text = textOf(message.body);
    // A CloudEvent in binary mode may have no data, and so no body.
    const isBare = mapping.envelope === 'cloudevents' && text === '';
    const parsed: Parsed = { message, text, value: isBare ? undefined : parse(text) };
    const members =
      mapping.envelope === 'data'
        ? plainEvent(parsed, mapping)
        : mapping.envelope === 'posthorn'
          ? wholeEvent(parsed)
          : cloudEvent(parsed, mapping.group === null ? null : textAt(mapping.group, parsed));
    members.idempotencyKey ??= JSON.stringify(keyOf(parsed, mapping.id));
    return { text: jsonOf(members) };
  } catch (error) {
    if (error instanceof NoEvent) return { reason: error.message };
    throw error;
  }
}

function jsonOf(members: Members): string {
  return `{${Object.entries(members)
    .map(([name, text]) => `${JSON.stringify(name)}:${text}`)
    .join(',')}}`;
}

function plainEvent(parsed: Parsed, { type, group }: Mapping): Members {
  const members: Members = { type: JSON.stringify(typeOf(parsed, type!)) };
  if (group !== null) members.group = JSON.stringify(textAt(group, parsed));
  if (parsed.message.time !== null) members.occurredAt = JSON.stringify(new Date(parsed.message.time).toISOString());
  members.data = parsed.text;
  return members;
}

function typeOf(parsed: Parsed, from: string | Spot): string {
  const type = typeof from === 'string' ? from : textAt(from, parsed);
  if (!isEventType(type)) throw new NoEvent(`${quote(type)} is no event type; one is like order.created`);
  return type;
}

/**
 * The idempotency key. It begins with the place, so that numbers of one queue never meet those of another, and is what
 * `Idempotency-Key` allows: visible ASCII, at most 255 characters; what is not, is hashed.
 */
function keyOf(parsed: Parsed, id: Mapping['id']): string {
  const { message } = parsed;
  let key: string;
  if (id === 'broker') {
    if (message.key === null) {
      throw new NoEvent(
        'it has no message-id, so that a redelivery could not be told from a new message; ' +
          'have the publisher set one, or say --id-from header:<name>, field:<path> or body-hash',
      );
    }
    key = message.key;
  } else if (id === 'body-hash') {
    key = `${message.place}#sha256:${createHash('sha256').update(message.body).digest('hex')}`;
  } else {
    key = `${message.place}#${textAt(id, parsed)}`;
  }
  return fittingKey(key);
}

function textAt(spot: Spot, { message, value }: Parsed): string {
  const found =
    spot.kind === 'subject'
      ? message.subject
      : spot.kind === 'key'
        ? message.orderingKey
        : spot.kind === 'header'
          ? message.headers.get(spot.name.toLowerCase())
          : fieldAt(value, spot.path);
  if (typeof found === 'string' && found !== '') return found;
  if (typeof found === 'number') return String(found);
  const where = { subject: 'subject', key: 'key' };
  if (spot.kind === 'header') throw new NoEvent(`it has no header ${quote(spot.name)}`);
  if (spot.kind === 'field') throw new NoEvent(`its body has no text or number at ${quote(spot.path.join('.'))}`);
  throw new NoEvent(`it has no ${where[spot.kind]}`);
}

function fieldAt(value: unknown, path: readonly string[]): unknown {
  let at: unknown = value;
  for (const name of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

function textOf(body: Uint8Array): string {
  if (!isUtf8(body)) throw new NoEvent('its body is not UTF-8');
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .trim();
}

/** By the rules of the API, so that one message that is no JSON does not come back with the batch it is in. */
function parse(text: string): unknown {
  if (text === '') throw new NoEvent('its body is empty');
  try {
    return parseStrictJson(text);
  } catch (error) {
    if (error instanceof JsonError) throw new NoEvent(`its body is ${error.message}`);
    throw error;
  }
}
