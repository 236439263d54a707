// A receiver that takes its time: every answer comes so many ms after its request. It counts what arrived, and how often
// something came twice.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answer } from '../rpc.ts';

let delayMs = 0;
let doubled = 0;
let lastAt = 0;
const seen = new Set<string>();

const server = createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    setTimeout(() => {
      const id = String(request.headers['webhook-id']) + String(request.url);
      if (seen.has(id)) doubled++;
      seen.add(id);
      lastAt = Date.now();
      response.end('ok');
    }, delayMs);
  });
});
server.keepAliveTimeout = 60_000;

answer({
  listen: async (options: unknown) => {
    ({ delayMs } = options as { delayMs: number });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { port: (server.address() as AddressInfo).port };
  },
  reset: () => {
    seen.clear();
    doubled = 0;
  },
  report: () => ({ distinct: seen.size, doubled, lastAt }),
});
