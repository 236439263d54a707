import { end, track } from '../processes.ts';
import { startPeer } from '../rpc.ts';
import type { Peer } from '../rpc.ts';
import type { Posthorn } from '../posthorn.ts';
import { startNodes } from './nodes.ts';

/** More than one node has slots for: 1,024 exchanges at once, whatever the endpoints would take. */
const ENDPOINTS = 48;
const TYPE = 'bench.backlog';
const BATCH = 500;
const POLL_MS = 250;

export interface Backlog {
  deliveries: number;
  answerAfterMs: number;
  /** Seconds from enabling the endpoints to the last arrival. */
  aloneSeconds: number;
  togetherSeconds: number;
  doubled: number;
}

/**
 * A backlog that the receiver holds up, not the database: drained by one node, and by one that a second joins at once.
 */
export async function measureBacklog(options: {
  deliveries: number;
  answerAfterMs: number;
  workDir: string | null;
}): Promise<Backlog> {
  const alone = await drain(options, false);
  const together = await drain(options, true);
  return {
    ...{ deliveries: options.deliveries, answerAfterMs: options.answerAfterMs },
    ...{ aloneSeconds: alone.seconds, togetherSeconds: together.seconds, doubled: alone.doubled + together.doubled },
  };
}

async function drain(
  { deliveries, answerAfterMs, workDir }: { deliveries: number; answerAfterMs: number; workDir: string | null },
  isHelped: boolean,
): Promise<{ seconds: number; doubled: number }> {
  const receiver = startPeer('postgres/slow-receiver.ts');
  track(receiver.child);
  const cluster = await startNodes(1, { workDir });
  try {
    const { port } = await receiver.ask<{ port: number }>('listen', { delayMs: answerAfterMs });
    const node = cluster.nodes[0]!;
    const ids: string[] = [];
    for (let i = 0; i < ENDPOINTS; i++) {
      const id = await node.register(`http://127.0.0.1:${port}/${i}`, [TYPE]);
      await node.call('POST', `/v1/webhooks/${id}/disable`);
      ids.push(id);
    }
    await fill(node, Math.ceil(deliveries / ENDPOINTS));
    const startedAt = Date.now();
    await Promise.all([
      ...ids.map((id) => node.call('POST', `/v1/webhooks/${id}/enable`)),
      isHelped ? cluster.add() : null,
    ]);
    const lastAt = await arrived(receiver, Math.ceil(deliveries / ENDPOINTS) * ENDPOINTS);
    const { doubled } = await receiver.ask<{ doubled: number }>('report');
    return { seconds: (lastAt - startedAt) / 1000, doubled };
  } finally {
    await cluster.stop();
    await end(receiver.child);
  }
}

async function fill(node: Posthorn, events: number): Promise<void> {
  for (let sent = 0; sent < events; sent += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, events - sent) }, (_, i) => ({
      type: TYPE,
      data: { n: sent + i },
    }));
    await node.call('POST', '/v1/events/batch', { events: batch });
  }
}

async function arrived(receiver: Peer, expected: number): Promise<number> {
  for (;;) {
    const { distinct, lastAt } = await receiver.ask<{ distinct: number; lastAt: number }>('report');
    if (distinct >= expected) return lastAt;
    if (lastAt > 0 && Date.now() - lastAt > 60_000) throw new Error(`${expected - distinct} deliveries never arrived`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
