/**
 * One tenant with very many endpoints: what a create, a page of the list and one event to all of them take, over HTTP,
 * against a Posthorn process of its own. The receiver counts each endpoint's copies by its path.
 *
 *   node bench/endpoints.ts [endpoints = 10000]
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { apiKey, startPosthorn } from './posthorn.ts';
import { endAll, onInterrupt } from './processes.ts';

const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
const MEASURED = 200;
const LOADERS = 8;
const PATIENCE_MS = 60_000;

async function call(pool: Pool, method: 'GET' | 'POST', path: string, body?: object): Promise<string> {
  const answered = await pool.request({ method, path, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const text = await answered.body.text();
  if (answered.statusCode >= 300) throw new Error(`${method} ${path}: ${answered.statusCode} ${text}`);
  return text;
}

/** One after the other, in ms. */
async function timed(times: number, work: (i: number) => Promise<unknown>): Promise<{ p50: number; p99: number }> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const startedAt = performance.now();
    await work(i);
    took.push(performance.now() - startedAt);
  }
  took.sort((a, b) => a - b);
  const at = (share: number): number => Number(took[Math.floor(took.length * share)]!.toFixed(2));
  return { p50: at(0.5), p99: at(0.99) };
}

async function main(): Promise<void> {
  const [endpoints = 10_000] = process.argv.slice(2).map(Number);
  onInterrupt(() => void endAll());
  const copies = new Map<string, number>();
  let onAll = (): void => {};
  const receiver = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      copies.set(request.url!, (copies.get(request.url!) ?? 0) + 1);
      response.end();
      if (copies.size === endpoints) onAll();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const target = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const posthorn = await startPosthorn();
  const pool = new Pool(`http://127.0.0.1:${posthorn.port}`, { connections: LOADERS });
  const create = (i: number): Promise<string> =>
    call(pool, 'POST', '/v1/webhooks', { url: `${target}/${i}`, events: ['bench.sent'] });

  let next = 0;
  await Promise.all(
    Array.from({ length: LOADERS }, async () => {
      while (next < endpoints - MEASURED) await create(next++);
    }),
  );
  const created = await timed(MEASURED, (i) => create(endpoints - MEASURED + i));
  let cursor = '';
  const listed = await timed(MEASURED, async () => {
    const page = JSON.parse(await call(pool, 'GET', `/v1/webhooks?limit=50${cursor}`)) as { nextCursor: string | null };
    cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
  });
  const all = new Promise<void>((resolve, reject) => {
    onAll = resolve;
    setTimeout(() => reject(new Error(`only ${copies.size} of ${endpoints} endpoints got it`)), PATIENCE_MS).unref();
  });
  const startedAt = performance.now();
  await call(pool, 'POST', '/v1/events', { type: 'bench.sent', data: { n: 1 } });
  const acceptedMs = Math.round(performance.now() - startedAt);
  await all;
  const reachedMs = Math.round(performance.now() - startedAt);
  const doubled = [...copies.values()].filter((count) => count > 1).length;
  console.table([
    { what: `create, at ${endpoints}`, ...created },
    { what: 'list, 50 a page', ...listed },
  ]);
  console.log(
    `one event: 202 after ${acceptedMs} ms, all ${endpoints} reached after ${reachedMs} ms, ${doubled} twice`,
  );
  await pool.close();
  await endAll();
  receiver.close();
}

await main();
