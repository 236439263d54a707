import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What the gate does with a request: `pass` it on to Posthorn; `swallow` the answer (it was done, and nobody is told);
 * `late`: answered when the test says so; `mute`: never passed on, never answered; a number: answered with that status.
 */
type Rule = 'pass' | 'swallow' | 'late' | 'mute' | number;

/** Stands between `posthorn ingest` and Posthorn, at an address that stays while either comes and goes. */
export interface Gate {
  url: string;
  /** Requests to publish so far. */
  count: () => number;
  /** The rule for the n-th request to publish, from 1; everything passes unless said. */
  rule: (decide: (n: number) => Rule) => void;
  /** Where requests pass to; null: nobody is there. */
  target: (base: string | null) => void;
  /** Resolves when so many requests to publish have come, and been passed on where they pass. */
  reached: (n: number) => Promise<void>;
  /** Lets answers go that are late. */
  release: () => void;
  close: () => Promise<void>;
}

export async function startGate(base: string | null): Promise<Gate> {
  let target = base;
  let decide: (n: number) => Rule = () => 'pass';
  let started = 0;
  let done = 0;
  const waiting = new Set<() => void>();
  let late: (() => void)[] = [];

  const server = createServer((request, response) => {
    void handle(request, response).catch(() => response.destroy());
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const isPublish = request.method === 'POST';
    const rule = isPublish ? decide(++started) : 'pass';
    if (typeof rule === 'number') {
      response.writeHead(rule, { 'content-type': 'application/problem+json', 'retry-after': '0' });
      response.end(JSON.stringify({ code: 'OVERLOADED', message: 'The queue is full.' }));
    } else if (rule !== 'mute') {
      const answer = await pass(request, Buffer.concat(chunks));
      if (rule === 'late') {
        tell(isPublish);
        await new Promise<void>((resolve) => late.push(resolve));
      }
      if (rule !== 'swallow') response.writeHead(answer.status, answer.headers).end(answer.body);
      if (rule === 'late') return;
    }
    tell(isPublish);
  }

  async function pass(
    request: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: Record<string, string>; body: string }> {
    if (target === null) throw new Error('nobody is there');
    const headers = Object.entries(request.headers).filter(
      ([name]) => !['host', 'connection', 'content-length'].includes(name),
    );
    const answer = await fetch(target + request.url!, {
      method: request.method!,
      headers: Object.fromEntries(headers) as Record<string, string>,
      ...(body.length === 0 ? {} : { body }),
    });
    return { status: answer.status, headers: { 'content-type': 'application/json' }, body: await answer.text() };
  }

  function tell(isPublish: boolean): void {
    if (!isPublish) return;
    done++;
    for (const look of [...waiting]) look();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    count: () => started,
    rule: (next) => (decide = next),
    target: (next) => (target = next),
    reached: (n) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (done < n) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    release: () => {
      for (const go of late) go();
      late = [];
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
