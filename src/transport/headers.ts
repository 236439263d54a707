import { BoundedMap } from './bounded-map.ts';

/**
 * Header names that belong to the connection or to the sender itself. Setting them from outside would steer the request
 * elsewhere (host), smuggle a second one (content-length, transfer-encoding) or ask for a body we would have to inflate.
 */
const ownHeaders = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** A header's name (RFC 9110, section 5.6.2). */
export const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What a value may not have: controls but for the tab, and what is not Latin-1 (RFC 9110, section 5.5). */
const unsendable = /[^\t\x20-\x7e\x80-\xff]/;

/** What is wrong with a name, or null. They come from few formats and are the same strings over and over. */
const judged = new BoundedMap<string, string | null>(4_096);

/** Size of response headers kept, in characters of names and values. */
const maxKept = 8 * 1024;

/**
 * A request's header lines (flat name, value, name, value) as they are written, with a demand for an unencoded response and
 * the body's length; or what of them may not be sent.
 */
export function headerLines(headers: readonly string[], bodyBytes: number): string | { wrong: string } {
  let lines = '';
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    const value = headers[index + 1]!;
    let wrong = judged.get(name);
    if (wrong === undefined) wrong = judge(name);
    if (wrong !== null) return { wrong };
    if (unsendable.test(value)) return { wrong: `header ${name} has a character that may not be sent` };
    lines += `${name}: ${value}\r\n`;
  }
  return `${lines}accept-encoding: identity\r\ncontent-length: ${bodyBytes}\r\n\r\n`;
}

/** The first of a response's headers, whole ones up to 8 KiB. */
export function keepHeaders(headers: readonly string[]): readonly string[] {
  let size = 0;
  for (let index = 0; index < headers.length; index += 2) {
    size += headers[index]!.length + headers[index + 1]!.length;
    if (size > maxKept) return headers.slice(0, index);
  }
  return headers;
}

function judge(name: string): string | null {
  let wrong: string | null = null;
  if (ownHeaders.has(name.toLowerCase())) wrong = `header ${name} may not be set on a request`;
  else if (!token.test(name)) wrong = `${JSON.stringify(name)} is no name of a header`;
  judged.set(name, wrong);
  return wrong;
}
