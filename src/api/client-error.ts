import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { PosthornError } from '../errors.ts';
import { faceOf, pathOf } from './faces/face-of.ts';
import { newRequestId } from './problem.ts';

/** What a client that is still sending may send on before the connection is cut. */
const DRAIN_BYTES = 64 * 1024 * 1024;
const DRAIN_MS = 2_000;

interface ClientError extends NodeJS.ErrnoException {
  /** What the parser was reading: a Buffer. */
  rawPacket?: unknown;
}

/**
 * Answers what is no HTTP request, or came too slowly, on the bare socket, as every other error is answered. What still
 * comes is read and thrown away for a moment: a socket closed on it would be reset, and the answer lost with it.
 */
export function answerClientError(error: ClientError, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = faceOf(pathIn(error, socket)).problemOf(problemIn(error), newRequestId());
  const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.removeAllListeners('data');
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`);

  let drained = 0;
  socket.on('data', (chunk: Buffer) => {
    drained += chunk.length;
    if (drained > DRAIN_BYTES) socket.destroy();
  });
  const timer = setTimeout(() => socket.destroy(), DRAIN_MS);
  timer.unref();
  socket.on('close', () => clearTimeout(timer));
}

function problemIn(error: ClientError): PosthornError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new PosthornError('HEADERS_TOO_LARGE');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new PosthornError('REQUEST_TIMEOUT');
    default:
      return new PosthornError('BAD_REQUEST', 'This is not an HTTP/1.1 request. Check its request line and headers.');
  }
}

/**
 * The path of the request, as far as it is known: of a head that never ended its first line is among what the parser
 * was reading; where only the body is late, the response that waits for it knows its request. Else `''`.
 */
function pathIn({ rawPacket }: ClientError, socket: Duplex): string {
  const waiting = (socket as { _httpMessage?: { req?: { url?: string } } | null })._httpMessage;
  const line = Buffer.isBuffer(rawPacket) ? /^[A-Z]+ ([^ \r\n]+)/.exec(rawPacket.toString('latin1', 0, 2048)) : null;
  return pathOf(waiting?.req?.url ?? line?.[1] ?? '');
}
