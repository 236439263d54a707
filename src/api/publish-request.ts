import Type from 'typebox';
import { badField, PosthornError } from '../errors.ts';
import type { PublishInput } from '../delivery/engine.ts';
import { isEventType } from '../model/event.ts';
import { memberSpans } from '../model/json.ts';
import { nullable, time } from './schema.ts';
import { parseTime } from './time.ts';
import { unknownName } from './validate.ts';

const OWN_ID = /^(?![eE][vV][tT]_)[\x21-\x2d\x2f-\x7e]{1,128}$/;
const KEY = /^[\x21-\x7e]{1,255}$/;
const LABEL = /^[^\p{Cc}]{1,256}$/u;

const typeRule =
  'must be a name like "order.created": segments of letters, digits, "_" and "-", joined by dots, 128 characters at most';
const idRule = 'must be 1 to 128 visible ASCII characters, without spaces and full stops, and not begin with "evt_"';
const keyRule = 'must be 1 to 255 visible ASCII characters without spaces';
const labelRule = 'must be 1 to 256 characters, none of them a control character';
const timeRule = 'must be a time like "2026-01-31T12:00:00Z" (RFC 3339)';

const label = (description: string) =>
  Type.Optional(
    // As LABEL, in words that also those know who have no \p.
    nullable(Type.String({ pattern: '^[^\\x00-\\x1f\\x7f-\\x9f]{1,256}$', description, 'x-rule': labelRule })),
  );

/**
 * An event as it is sent in. The document is made from this schema; requests are checked by {@link readPublish}, which
 * a test holds to it: by hand there is nothing to compile before the first event, and each fault has its own words.
 */
export const PublishRequest = Type.Object(
  {
    type: Type.String({
      pattern: '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$',
      maxLength: 128,
      description: 'Event type: `order.created`.',
      'x-rule': typeRule,
    }),
    data: Type.Unknown({ description: 'Payload: any JSON. Its bytes are kept as they come.' }),
    id: Type.Optional(
      nullable(
        Type.String({
          pattern: '^(?![eE][vV][tT]_)[\\x21-\\x2d\\x2f-\\x7e]{1,128}$',
          description: 'Your own id for it, instead of `evt_…`. An id is accepted once; a repeat gets the same answer.',
          'x-rule': idRule,
        }),
      ),
    ),
    occurredAt: Type.Optional(nullable(time('When it happened; default now.'))),
    category: label('Category; default the first segment of the type.'),
    group: label('Ties related events together; the ordering key.'),
    source: label('Where it comes from.'),
    idempotencyKey: Type.Optional(
      nullable(
        Type.String({
          pattern: '^[\\x21-\\x7e]{1,255}$',
          description: 'As the header `Idempotency-Key`, for events of a batch.',
          'x-rule': keyRule,
        }),
      ),
    ),
  },
  { additionalProperties: false, title: 'PublishRequest' },
);

const known = ['type', 'data', 'id', 'occurredAt', 'category', 'group', 'source', 'idempotencyKey'];

/**
 * Checks a parsed event and takes its data's text out of the request's text. Throws BAD_REQUEST that names the field.
 * @param value the event as parsed from `text`
 * @param text JSON text in which the event begins at `start`
 * @param path how to name it: `''`, or `events[3]`
 */
export function readPublish(value: unknown, text: string, start: number, path: string): PublishInput {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badField(path === '' ? 'body' : path, 'must be an object like {"type":"order.created","data":{}}');
  }
  const event = value as Record<string, unknown>;
  const { type, data, id, occurredAt, category, group, source, idempotencyKey } = event;
  if (typeof type !== 'string' || !isEventType(type))
    throw bad(path, 'type', type === undefined ? `is missing; it ${typeRule}` : typeRule);
  if (data === undefined) throw bad(path, 'data', 'is missing; it can be any JSON value');
  if (id != null && !(typeof id === 'string' && OWN_ID.test(id))) throw bad(path, 'id', idRule);
  let occurredAtMs: number | null = null;
  if (occurredAt != null) {
    occurredAtMs = typeof occurredAt === 'string' ? parseTime(occurredAt) : null;
    if (occurredAtMs === null) throw bad(path, 'occurredAt', timeRule);
  }
  checkLabel(path, 'category', category);
  checkLabel(path, 'group', group);
  checkLabel(path, 'source', source);
  if (idempotencyKey != null && !(typeof idempotencyKey === 'string' && KEY.test(idempotencyKey))) {
    throw bad(path, 'idempotencyKey', keyRule);
  }
  for (const name in event) {
    if (!known.includes(name)) throw bad(path, name, unknownName(name, known));
  }
  const span = memberSpans(text, start).get('data')!;
  return {
    type,
    data: text.slice(span[0], span[1]),
    value: data,
    id: id ?? null,
    occurredAt: occurredAtMs,
    category: (category as string | null | undefined) ?? null,
    group: (group as string | null | undefined) ?? null,
    source: (source as string | null | undefined) ?? null,
    idempotencyKey: idempotencyKey ?? null,
  };
}

/** Puts the key of the header to the event. Throws BAD_REQUEST for one that does not fit, or differs from the body's. */
export function withIdempotencyKey(input: PublishInput, header: string | undefined): PublishInput {
  if (header === undefined) return input;
  if (!KEY.test(header)) throw badField('Idempotency-Key', keyRule);
  if (input.idempotencyKey != null && input.idempotencyKey !== header) {
    throw new PosthornError(
      'BAD_REQUEST',
      'idempotencyKey: is another one than the header Idempotency-Key holds; send one of them',
      { fields: [{ field: 'idempotencyKey', message: 'is another one than the header Idempotency-Key holds' }] },
    );
  }
  input.idempotencyKey = header;
  return input;
}

function checkLabel(path: string, name: string, value: unknown): void {
  if (value != null && !(typeof value === 'string' && LABEL.test(value))) throw bad(path, name, labelRule);
}

function bad(path: string, name: string, message: string): PosthornError {
  return badField(path === '' ? name : `${path}.${name}`, message);
}
