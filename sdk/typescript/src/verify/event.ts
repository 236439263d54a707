import { bodyText } from './check.ts';
import type { Format } from './formats.ts';
import { readHeader, type WebhookHeaders } from './headers.ts';
import type { WebhookEvent } from './result.ts';

/** The event of a request whose signature is right. */
export function readEvent(format: Format, body: string | Uint8Array, headers: WebhookHeaders): WebhookEvent {
  const payload = parse(bodyText(body));
  const { members } = format;
  const isObject = typeof payload === 'object' && payload !== null;
  const member = (name: string | undefined): unknown =>
    name !== undefined && isObject && Object.hasOwn(payload, name)
      ? (payload as Record<string, unknown>)[name]
      : undefined;
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const header = (name: string | null): string | null => (name === null ? null : text(readHeader(headers, name)));
  return {
    id: text(member(members.id)) ?? header(format.idHeader),
    type: text(member(members.type)) ?? header(format.typeHeader),
    occurredAt: text(member(members.occurredAt)),
    data: members.data === null ? payload : member(members.data),
    payload,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
