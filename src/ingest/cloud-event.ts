import { memberSpans } from '../model/json.ts';
import { fittingKey, NoEvent, quote, type Members, type Parsed } from './parsed.ts';

const WANTED = ['type', 'source', 'id'] as const;
/** Of the protocol bindings: HTTP and NATS write `ce-type`, Kafka `ce_type`, AMQP `cloudEvents:type` or `cloudEvents_type`. */
const PREFIXES = ['ce-', 'ce_', 'cloudevents:', 'cloudevents_'];

/**
 * A CloudEvent (CloudEvents 1.0.2), structured (the body is all of it) or binary (attributes in headers, the body its
 * data). `source` and `id` together are what makes it itself (section "Required attributes"), and so its key.
 * @param group its group, where the command names a place for it
 */
export function cloudEvent(parsed: Parsed, group: string | null): Members {
  const { message, text, value } = parsed;
  const prefix = PREFIXES.find((start) => message.headers.has(`${start}specversion`));
  const isBinary = prefix !== undefined;
  const attributes = (isBinary ? headersAfter(prefix, message.headers) : value) as Record<string, unknown> | null;
  if (typeof attributes !== 'object' || attributes === null || typeof attributes.specversion !== 'string') {
    throw new NoEvent('it is no CloudEvent: neither its headers nor its body have a specversion');
  }
  if (!attributes.specversion.startsWith('1.')) {
    throw new NoEvent(`it is a CloudEvent of version ${quote(attributes.specversion)}, and 1.0 is known`);
  }
  const [type, source, id] = WANTED.map((name) => required(attributes, name));
  if ('data_base64' in attributes) throw new NoEvent('its data are binary (data_base64), and not JSON');

  const members: Members = { type: JSON.stringify(type) };
  if (typeof attributes.time === 'string') members.occurredAt = JSON.stringify(attributes.time);
  if (group !== null) members.group = JSON.stringify(group);
  members.source = JSON.stringify(source);
  members.data = (isBinary ? text : dataIn(text)) || 'null';
  members.idempotencyKey = JSON.stringify(fittingKey(`cloudevents:${source} ${id}`));
  return members;
}

function required(attributes: Record<string, unknown>, name: string): string {
  const found = attributes[name];
  if (typeof found === 'string' && found !== '') return found;
  throw new NoEvent(`it is a CloudEvent without ${name}`);
}

function headersAfter(prefix: string, headers: ReadonlyMap<string, string>): Record<string, string> {
  const found = [...headers].filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, text]) => [name.slice(prefix.length), text]));
}

function dataIn(text: string): string {
  const span = memberSpans(text, 0).get('data');
  return span === undefined ? '' : text.slice(...span);
}
