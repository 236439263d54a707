import { drive } from '../drive.ts';
import type { Measurement } from '../drive.ts';
import { apiKey, startPosthorn } from '../posthorn.ts';
import type { Posthorn } from '../posthorn.ts';
import { DATA_BYTES, eventTypes } from './scenario.ts';
import type { Context } from './scenario.ts';

const RECORDED_WITHIN_MS = 30_000;

export interface Shape {
  endpoints: number;
  /** `one`: all endpoints want the same type. `each`: every endpoint wants a type of its own. */
  types: 'one' | 'each';
}

export interface Throughput extends Measurement {
  shape: Shape;
  /** Deliveries the store calls delivered, an attempt each; null where its statistics could not be read. */
  recorded: number | null;
}

/** As many events as Posthorn takes, for the time asked, into a new store. */
export async function measureThroughput(context: Context, shape: Shape): Promise<Throughput> {
  const { bench, options, profileDir } = context;
  const posthorn = await startPosthorn({ workDir: options.workDir, profileDir });
  const types = eventTypes(shape.types === 'each' ? shape.endpoints : 1);
  const ids: string[] = [];
  for (let i = 0; i < shape.endpoints; i++)
    ids.push(await posthorn.register(bench.hookUrl(i), [types[i % types.length]!]));
  const plan = {
    port: posthorn.port,
    apiKey,
    types,
    connections: options.connections,
    mode: 'closed' as const,
    durationMs: options.seconds * 1000,
    dataBytes: DATA_BYTES,
  };
  const fanOut = shape.types === 'one' ? shape.endpoints : 1;
  const measurement = await drive(bench, plan, { fanOut, senderPid: posthorn.pid });
  const recorded = await countRecorded(posthorn, ids, measurement.receiver.distinct);
  await posthorn.stop();
  return { ...measurement, shape, recorded };
}

/** The last attempts are written just after the last arrivals, so the store is asked until it has them all. */
async function countRecorded(posthorn: Posthorn, ids: readonly string[], expected: number): Promise<number | null> {
  const giveUpAt = Date.now() + RECORDED_WITHIN_MS;
  for (;;) {
    let recorded = 0;
    for (const id of ids) {
      const stats = await posthorn.call<{ deliveries?: { delivered?: number } }>('GET', `/v1/webhooks/${id}/stats`);
      if (stats.deliveries?.delivered === undefined) return null;
      recorded += stats.deliveries.delivered;
    }
    if (recorded >= expected || Date.now() > giveUpAt) return recorded;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
