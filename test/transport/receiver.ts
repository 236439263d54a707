import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import * as tls from 'node:tls';
import { onTestFinished } from 'vitest';

/** A request as its bytes came in. */
export interface RawRequest {
  /** Head without the blank line. */
  head: string;
  body: string;
  /** Counts from 1 on its connection. */
  number: number;
}

export interface Receiver {
  port: number;
  url: (path?: string) => string;
  /** Connections accepted so far. */
  connections: number;
  /** Bytes of application data that arrived so far. */
  bytes: number;
  requests: RawRequest[];
  sockets: Set<Socket>;
}

/** Answers a whole request; writes whatever it likes to the socket. */
export type Answer = (socket: Socket, request: RawRequest) => void;

export const ok: Answer = (socket) => void socket.write(response('ok'));

/** A plain 200 with a body. */
export function response(body: string, extraHead = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${extraHead}\r\n${body}`;
}

/**
 * A raw TCP (or TLS) server on loopback that hands whole requests to `answer`, so that a test decides about every byte.
 * It is closed, with all its sockets, when the test ends.
 */
export async function receive(
  answer: Answer,
  options: { host?: string; port?: number; tls?: tls.TlsOptions; onSocket?: (socket: Socket) => void } = {},
): Promise<Receiver> {
  const { host = '127.0.0.1', port = 0 } = options;
  const sockets = new Set<Socket>();
  const receiver: Receiver = { port: 0, url: () => '', connections: 0, bytes: 0, requests: [], sockets };

  const listener = (socket: Socket): void => {
    receiver.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    options.onSocket?.(socket);
    let text = '';
    let number = 0;
    socket.on('data', (chunk) => {
      receiver.bytes += chunk.length;
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (end !== -1 && text.length >= end + 4 + length) {
        number += 1;
        const request = { head: text.slice(0, end), body: text.slice(end + 4, end + 4 + length), number };
        text = text.slice(end + 4 + length);
        receiver.requests.push(request);
        answer(socket, request);
      }
    });
  };
  const server = options.tls === undefined ? createServer(listener) : tls.createServer(options.tls, listener);
  server.on('tlsClientError', () => {});
  server.listen(port, host);
  await once(server, 'listening');
  receiver.port = (server.address() as AddressInfo).port;
  const scheme = options.tls === undefined ? 'http' : 'https';
  receiver.url = (path = '/hook') => `${scheme}://${host}:${receiver.port}${path}`;
  onTestFinished(async () => {
    for (const socket of sockets) {
      socket.destroy();
    }
    server.close();
    await once(server, 'close');
  });
  return receiver;
}
