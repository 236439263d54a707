import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as it arrived. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  body: string;
  at: number;
}

type Answer = number | ((request: Received, response: ServerResponse) => void);

/** A real HTTP server that keeps what it gets and answers as the test says, by path. */
export interface Receiver {
  url: (path?: string) => string;
  requests: Received[];
  /** How a path answers from now on; 200 unless said. */
  answer: (path: string, answer: Answer) => void;
  /** Resolves when a request fits, also one that is there already. */
  waitFor: (what: (request: Received) => boolean) => Promise<Received>;
  /** Resolves when so many have arrived (of a path, where one is given). */
  waitForCount: (count: number, path?: string) => Promise<Received[]>;
  close: () => Promise<void>;
}

export async function startReceiver(port = 0): Promise<Receiver> {
  const requests: Received[] = [];
  const answers = new Map<string, Answer>();
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const received: Received = {
        path: request.url ?? '',
        headers: request.headers,
        rawHeaders: request.rawHeaders,
        body: Buffer.concat(chunks).toString(),
        at: Date.now(),
      };
      requests.push(received);
      const answer = answers.get(received.path) ?? 200;
      if (typeof answer === 'number') response.writeHead(answer).end();
      else answer(received, response);
      for (const check of [...waiting]) check();
    });
    request.on('error', () => undefined);
  });
  server.keepAliveTimeout = 30_000;
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const { port: actual } = server.address() as AddressInfo;

  const until = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const check = (): void => {
        const found = look();
        if (found === undefined) return;
        waiting.delete(check);
        resolve(found);
      };
      waiting.add(check);
      check();
    });

  return {
    url: (path = '/hook') => `http://127.0.0.1:${actual}${path}`,
    requests,
    answer: (path, answer) => answers.set(path, answer),
    waitFor: (what) => until(() => requests.find(what)),
    waitForCount: (count, path) =>
      until(() => {
        const found = path === undefined ? requests : requests.filter((request) => request.path === path);
        return found.length >= count ? [...found] : undefined;
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
