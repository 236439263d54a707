import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { PosthornError } from '../errors.ts';
import { newRequestId, problemOf } from './problem.ts';

/** What a client that is still sending may send on before the connection is cut. */
const DRAIN_BYTES = 64 * 1024 * 1024;
const DRAIN_MS = 2_000;

/**
 * Answers what is no HTTP request, or came too slowly, on the bare socket, as every other error is answered. What still
 * comes is read and thrown away for a moment: a socket closed on it would be reset, and the answer lost with it.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = problemOf(problemIn(error), newRequestId());
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

function problemIn(error: NodeJS.ErrnoException): PosthornError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new PosthornError('HEADERS_TOO_LARGE');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new PosthornError('REQUEST_TIMEOUT');
    default:
      return new PosthornError('BAD_REQUEST', 'This is not an HTTP/1.1 request. Check its request line and headers.');
  }
}
