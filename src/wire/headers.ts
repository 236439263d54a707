import type { WireFormat } from './wire.ts';

/** Written by the transport, or rules of the connection itself (RFC 9110, sections 7.2, 7.6.1, 8.6 and 10.1). */
const TRANSPORT_HEADERS = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const FORMAT_HEADERS = ['content-type', 'user-agent'];

const MAX_HEADERS = 32;
const MAX_BYTES = 4096;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[!-~](?:[ -~]*[!-~])?$/;

/** Why neither a format nor an endpoint may send a header of that name (lower case); null where it may. */
export function forbiddenHeader(name: string): string | null {
  if (TRANSPORT_HEADERS.has(name) || name.startsWith('proxy-')) return 'belongs to the connection; remove it';
  if (FORMAT_HEADERS.includes(name)) return 'is set by the sender; remove it';
  return null;
}

/** The names that a format keeps from endpoints beside those of the connection, in lower case. */
export function reservedNames(own: readonly string[]): readonly string[] {
  return [...TRANSPORT_HEADERS, ...FORMAT_HEADERS, ...own.map((name) => name.toLowerCase())];
}

/**
 * Checks the headers an endpoint's owner wants on every delivery: at most 32, together at most 4,096 bytes as written
 * on the wire, names that are tokens, values of visible ASCII, none that the connection or the format sets itself.
 * Returns null when they are fine, else what is wrong and what to do, with the name of the header.
 */
export function checkHeaders(headers: Readonly<Record<string, string>>, format: WireFormat): string | null {
  const entries = Object.entries(headers);
  if (entries.length > MAX_HEADERS) return `There are ${entries.length} headers; at most ${MAX_HEADERS} can be sent.`;
  const reserved = new Set(format.reservedHeaders());
  const seen = new Set<string>();
  let bytes = 0;
  for (const [name, value] of entries) {
    const quoted = JSON.stringify(name.slice(0, 80));
    const lower = name.toLowerCase();
    if (!NAME.test(name)) return `${quoted} is not a header name; use letters, digits and hyphens.`;
    const forbidden = forbiddenHeader(lower);
    if (forbidden !== null) return `${quoted} ${forbidden}.`;
    if (reserved.has(lower)) return `${quoted} is set by the wire format "${format.name}"; choose another name.`;
    if (seen.has(lower)) return `${quoted} is there twice, in two letter cases; keep one.`;
    if (typeof value !== 'string' || !VALUE.test(value)) {
      return `The value of ${quoted} must be visible ASCII text, without line breaks or spaces at its ends.`;
    }
    seen.add(lower);
    // "name: value\r\n"
    bytes += name.length + value.length + 4;
  }
  return bytes > MAX_BYTES ? `The headers take ${bytes} bytes; at most ${MAX_BYTES} can be sent.` : null;
}
