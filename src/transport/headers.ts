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

/** Names already judged; they come from few formats and are the same strings over and over. */
const judged = new BoundedMap<string, boolean>(4_096);

const identity = ['accept-encoding', 'identity'];

/** Size of response headers kept, in characters of names and values. */
const maxKept = 8 * 1024;

/** The first name in a flat list that a request may not set; null when all are fine. */
export function findOwnHeader(headers: readonly string[]): string | null {
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (judged.get(name) ?? judge(name)) {
      return name;
    }
  }
  return null;
}

/** The list as it goes out: with a demand for an unencoded response. */
export function withIdentity(headers: readonly string[]): string[] {
  return headers.concat(identity);
}

/** A response's raw headers as flat text, whole ones up to 8 KiB. */
export function keepHeaders(raw: readonly (Buffer | string)[]): string[] {
  const kept: string[] = [];
  let size = 0;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = text(raw[index]);
    const value = text(raw[index + 1]);
    size += name.length + value.length;
    if (size > maxKept) {
      break;
    }
    kept.push(name, value);
  }
  return kept;
}

function text(part: Buffer | string | undefined): string {
  return typeof part === 'string' ? part : (part?.toString('latin1') ?? '');
}

function judge(name: string): boolean {
  const own = ownHeaders.has(name.toLowerCase());
  judged.set(name, own);
  return own;
}
