import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** What becomes of one request; a response that is never ended leaves the client waiting. */
export type Behaviour = (response: ServerResponse, asked: Asked) => void;

/** A server that does one thing after the other, the last one again and again. */
export async function misbehaving(
  ...behaviours: Behaviour[]
): Promise<{ url: string; asked: Asked[]; close: () => Promise<void> }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(chunks).toString() };
      const behave = behaviours[Math.min(asked.length, behaviours.length - 1)]!;
      asked.push(one);
      behave(response, one);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Behaviour {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
}

export function problem(status: number, code: string, headers: Record<string, string> = {}): Behaviour {
  return json(status, { code, message: `It is ${code}.`, requestId: 'req_1' }, headers);
}

/** Closes the connection instead of an answer. */
export const hangUp: Behaviour = (response) => {
  response.destroy();
};

/** Begins an answer and never ends it. */
export const stall: Behaviour = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).write('{');
};
