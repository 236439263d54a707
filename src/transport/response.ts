import { token } from './headers.ts';

/** Response heads larger than this are refused. */
const maxHeadBytes = 16 * 1024;
/** All that is read of one exchange: heads, the 16 KiB of a body that are kept, its framing, trailers. */
const maxExchangeBytes = 128 * 1024;
/** Longer lines between chunks than this are refused: extensions and trailers, which nobody reads. */
const maxLineBytes = 4 * 1024;
/** 1xx responses passed over before the real one. Early hints come once or twice; more is a way to keep us busy. */
const maxInformational = 8;

const opening = 'HTTP/1.';
// RFC 9112, section 4. Controls have no place in a head (RFC 9110, section 5.5), but for the tab.
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\0-\x08\x0a-\x1f\x7f]*)?$/;
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const control = /[\0-\x08\x0a-\x1f\x7f]/;
const digits = /^\d{1,15}$/;
/** One coding or more (RFC 9112, section 6.1). */
const codings = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*[,;][ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z=]+)*$/;
/** A chunk's size and its extensions (RFC 9112, section 7.1); blanks about them are bad form, and few readers take them. */
const chunkLine =
  /^([0-9A-Fa-f]{1,12})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\]|\\.)*"))?)*$/;
/** The head of a line behind the last chunk; its value nobody reads. */
const trailer = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:/;

/** The head of a response. */
export interface ResponseHead {
  statusCode: number;
  /** Flat name, value, name, value, as received. */
  headers: string[];
  /** The raw Retry-After header. */
  retryAfter: string | null;
}

/** Who hears what a response has in it. */
export interface ResponseListener {
  /** The head of the response proper; those of the 1xx kind are passed over. */
  onHead(head: ResponseHead): void;
  /** A piece of the body: `bytes` from `start` to `end`. They are written over when this returns. */
  onBody(bytes: Buffer, start: number, end: number): void;
}

type State = 'head' | 'sized' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'to-the-end' | 'done';

/** What makes bytes no response. */
class Malformed extends Error {
  override name = 'Malformed';
}

/**
 * Reads the response to a POST as its bytes come in (RFC 9112), strictly: what two readers could understand in two ways,
 * such as two lengths, a length beside chunks, bare line feeds or folded lines, is no response.
 */
export class ResponseReader {
  #listener: ResponseListener | null = null;
  #state: State = 'done';
  /** Of the head or the line under way. */
  #text = '';
  /** Body bytes that the length or the chunk still promises. */
  #left = 0;
  #bytes = 0;
  #informational = 0;
  #isPersistent = false;
  #keepAliveSeconds: number | null = null;

  /** Another response is expected on the same connection. */
  begin(listener: ResponseListener): void {
    this.#listener = listener;
    this.#state = 'head';
    this.#text = '';
    this.#bytes = 0;
    this.#informational = 0;
    this.#isPersistent = false;
    this.#keepAliveSeconds = null;
  }

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** The response is whole, ended by itself, and the server goes on listening. */
  get isPersistent(): boolean {
    return this.#isPersistent;
  }

  /** For how long the server keeps the connection, s; null where it does not say. */
  get keepAliveSeconds(): number | null {
    return this.#keepAliveSeconds;
  }

  /** Takes the next bytes. Null, or why they are no response; then no more may be given. */
  read(bytes: Buffer, length: number): string | null {
    try {
      this.#bytes += length;
      let at = 0;
      while (at < length && this.#state !== 'done') at = this.#step(bytes, at, length);
      if (at < length) this.#isPersistent = false; // bytes that nobody asked for
      if (this.#state === 'done') this.#listener = null; // not kept for as long as the connection waits
      if (this.#bytes > maxExchangeBytes && this.#state !== 'done')
        throw new Malformed(`a response larger than ${maxExchangeBytes} bytes, most of it no body`);
      return null;
    } catch (error) {
      if (error instanceof Malformed) return error.message;
      throw error;
    }
  }

  /** The connection is at its end. False where the response is not. */
  end(): boolean {
    if (this.#state === 'to-the-end') this.#state = 'done';
    this.#isPersistent = false;
    return this.#state === 'done';
  }

  /** Reads on from `at` to the next change of state; returns where that is. */
  #step(bytes: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes, at, end);
      case 'sized':
      case 'chunk': {
        const next = Math.min(end, at + this.#left);
        this.#left -= next - at;
        if (this.#left === 0) this.#state = this.#state === 'sized' ? 'done' : 'chunk-end';
        this.#listener!.onBody(bytes, at, next);
        return next;
      }
      case 'to-the-end':
        this.#listener!.onBody(bytes, at, end);
        return end;
      default:
        return this.#readLine(bytes, at, end);
    }
  }

  #readHead(bytes: Buffer, at: number, end: number): number {
    const had = this.#text.length;
    const text = this.#text + bytes.toString('latin1', at, end);
    const stop = text.indexOf('\r\n\r\n', Math.max(0, had - 3));
    if ((stop === -1 ? text.length : stop) > maxHeadBytes)
      throw new Malformed(`a response head larger than ${maxHeadBytes} bytes`);
    if (stop === -1) {
      const isOpening = text.length < opening.length ? opening.startsWith(text) : text.startsWith(opening);
      if (!isOpening) throw new Malformed(`not HTTP/1.1: ${quote(text)}`);
      if (hasBareLineFeed(text, had)) throw new Malformed('a line that does not end in CR LF');
      this.#text = text;
      return end;
    }
    this.#text = '';
    this.#takeHead(text.slice(0, stop));
    return at + stop + 4 - had;
  }

  #takeHead(text: string): void {
    const lineEnd = text.indexOf('\r\n');
    const first = lineEnd === -1 ? text : text.slice(0, lineEnd);
    const match = statusLine.exec(first);
    if (match === null) throw new Malformed(`not a status line of HTTP/1.1: ${quote(first)}`);
    const statusCode = Number(match[2]);

    const headers: string[] = [];
    let length: string | null = null;
    let coding: string | null = null;
    let retryAfter: string | null = null;
    let isPersistent = match[1] === '1';
    for (let at = lineEnd === -1 ? text.length : lineEnd + 2; at < text.length;) {
      let next = text.indexOf('\r\n', at);
      if (next === -1) next = text.length;
      const colon = text.indexOf(':', at);
      const name = text.slice(at, colon === -1 ? next : colon);
      if (colon === -1 || colon > next || !token.test(name))
        throw new Malformed(`not a header: ${quote(text.slice(at, next))}`);
      const value = trimmed(text, colon + 1, next);
      if (control.test(value)) throw new Malformed(`a control character in header ${name}`);
      headers.push(name, value);
      at = next + 2;

      switch (name.length) {
        case 10:
          if (/^connection$/i.test(name) && /\bclose\b/i.test(value)) isPersistent = false;
          else if (/^keep-alive$/i.test(name)) this.#keepAliveSeconds = secondsIn(value);
          break;
        case 11:
          if (retryAfter === null && /^retry-after$/i.test(name)) retryAfter = value;
          break;
        case 14:
          if (!/^content-length$/i.test(name)) break;
          if (length !== null) throw new Malformed('more than one Content-Length');
          if (!digits.test(value)) throw new Malformed(`a Content-Length that is no number: ${quote(value)}`);
          length = value;
          break;
        case 17:
          if (!/^transfer-encoding$/i.test(name)) break;
          if (!codings.test(value)) throw new Malformed(`a Transfer-Encoding that is none: ${quote(value)}`);
          coding = coding === null ? value : `${coding},${value}`;
      }
    }
    if (length !== null && coding !== null) throw new Malformed('a Content-Length beside a Transfer-Encoding');

    if (statusCode < 200) {
      this.#passOver(statusCode);
      return;
    }
    if (statusCode === 204 || statusCode === 304) this.#state = 'done';
    else if (coding !== null) this.#state = /(?:^|,)[ \t]*chunked[ \t]*$/i.test(coding) ? 'chunk-size' : 'to-the-end';
    else if (length === null) this.#state = 'to-the-end';
    else {
      this.#left = Number(length);
      this.#state = this.#left === 0 ? 'done' : 'sized';
    }
    this.#isPersistent = isPersistent && this.#state !== 'to-the-end';
    this.#listener!.onHead({ statusCode, headers, retryAfter });
  }

  #passOver(statusCode: number): void {
    if (statusCode === 100 || statusCode === 101) throw new Malformed(`a ${statusCode} that nobody asked for`);
    this.#informational++;
    if (this.#informational > maxInformational)
      throw new Malformed(`more than ${maxInformational} responses of the 1xx kind`);
  }

  /** A chunk's size, the line end behind its data, or a trailer. */
  #readLine(bytes: Buffer, at: number, end: number): number {
    const feed = bytes.indexOf(10, at);
    const next = feed === -1 || feed >= end ? end : feed + 1;
    const text = this.#text + bytes.toString('latin1', at, next);
    if (text.length > maxLineBytes) throw new Malformed(`a line of more than ${maxLineBytes} bytes between chunks`);
    if (!text.endsWith('\n')) {
      this.#text = text;
      return next;
    }
    this.#text = '';
    const line = text.slice(0, -2);
    if (!text.endsWith('\r\n') || control.test(line))
      throw new Malformed(`not a line of a chunked body: ${quote(text)}`);
    if (this.#state === 'chunk-size') {
      const size = chunkLine.exec(line)?.[1];
      if (size === undefined) throw new Malformed(`not the size of a chunk: ${quote(line)}`);
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'chunk';
    } else if (this.#state === 'chunk-end') {
      if (line !== '') throw new Malformed(`a chunk longer than its size: ${quote(line)}`);
      this.#state = 'chunk-size';
    } else if (line === '') this.#state = 'done';
    else if (!trailer.test(line)) throw new Malformed(`not a trailer: ${quote(line)}`);
    return next;
  }
}

/** From `start` on: a head that drips in is not looked through again at every byte. */
function hasBareLineFeed(text: string, start: number): boolean {
  for (let feed = text.indexOf('\n', start); feed !== -1; feed = text.indexOf('\n', feed + 1)) {
    if (text[feed - 1] !== '\r') return true;
  }
  return false;
}

/** The text between, without the spaces and tabs around it. */
function trimmed(text: string, start: number, end: number): string {
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function secondsIn(keepAlive: string): number | null {
  const found = /\btimeout=(\d{1,9})\b/i.exec(keepAlive)?.[1];
  return found === undefined ? null : Number(found);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
