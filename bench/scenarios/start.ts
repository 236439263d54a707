import { request } from 'node:http';
import { median } from '../histogram.ts';
import { apiKey, spawnPosthorn } from '../posthorn.ts';
import type { Context } from './scenario.ts';

const ROUNDS = 5;
const GIVE_UP_MS = 15_000;

export interface Start {
  /** From spawning the process, with a new data folder, to the first 202; one number a round, the first one with cold caches. */
  firstAcceptedMs: number[];
  medianMs: number;
}

export async function measureStart({ options }: Context): Promise<Start> {
  const firstAcceptedMs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    const posthorn = await spawnPosthorn({ workDir: options.workDir });
    while (!(await accepts(posthorn.port))) {
      const gone = posthorn.child.exitCode !== null;
      if (gone || performance.now() - startedAt > GIVE_UP_MS) await posthorn.ready();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    firstAcceptedMs.push(performance.now() - startedAt);
    await posthorn.stop();
  }
  return { firstAcceptedMs, medianMs: median(firstAcceptedMs) };
}

/** One event; node:http, because what refuses a connection must fail at once and leave nothing behind. */
function accepts(port: number): Promise<boolean> {
  const body = '{"type":"bench.t0","data":{}}';
  return new Promise((resolve) => {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'content-length': body.length,
    };
    const sent = request(
      { port, host: '127.0.0.1', method: 'POST', path: '/v1/events', headers, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode === 202);
      },
    );
    sent.on('error', () => resolve(false));
    sent.end(body);
  });
}
