// What a team builds in an afternoon, and tunes for another: an HTTP door that puts a job on pg-boss for each endpoint
// that wants the event, and workers that sign and POST it with fetch. It keeps no history of attempts. A process of its
// own; the measure of what Posthorn must be five times as fast as.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import PgBoss from 'pg-boss';
import { answer } from '../rpc.ts';

const QUEUE = 'deliveries';
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

interface Endpoint {
  url: string;
  events: string[];
}
interface Job {
  url: string;
  event: { id?: string; type: string; data: unknown };
}
interface Plan {
  databaseUrl: string;
  endpoints: Endpoint[];
  workers: number;
  batchSize: number;
  poolSize: number;
}

async function start(plan: Plan): Promise<{ port: number }> {
  const boss = new PgBoss({ connectionString: plan.databaseUrl, max: plan.poolSize, schedule: false });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue(QUEUE, { retryLimit: 9, retryDelay: 5, retryBackoff: true });

  const workerIds: string[] = [];
  for (let i = 0; i < plan.workers; i++) {
    // Half a second is the shortest poll pg-boss has; after a full batch the worker looks again at once. Waking one for
    // every event was tried: it gives smaller batches and a lower rate.
    const options = { batchSize: plan.batchSize, pollingIntervalSeconds: 0.5 };
    const id = await boss.work<Job>(QUEUE, options, async (jobs) => {
      await Promise.all(jobs.map((job) => deliver(boss, job)));
      if (jobs.length === plan.batchSize) boss.notifyWorker(workerIds[i]!);
    });
    workerIds.push(id);
  }

  async function accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const event = JSON.parse(Buffer.concat(chunks).toString()) as Job['event'];
    const wanting = plan.endpoints.filter(({ events }) => events.includes(event.type));
    const ids = await Promise.all(wanting.map(({ url }) => boss.send(QUEUE, { url, event } satisfies Job)));
    const body = JSON.stringify({ id: ids[0], deliveries: ids.length });
    response.writeHead(202, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  }
  const server = createServer((request, response) => {
    accept(request, response).catch((error: unknown) => {
      console.error(error);
      response.writeHead(500, { 'content-length': 0 }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
  return { port: (server.address() as AddressInfo).port };
}

/** One POST, signed as Standard Webhooks has it. A failed one is given back to pg-boss, which retries it. */
async function deliver(boss: PgBoss, job: PgBoss.Job<Job>): Promise<void> {
  const body = JSON.stringify(job.data.event);
  const timestamp = Math.floor(Date.now() / 1000);
  const key = Buffer.from(SECRET.slice(6), 'base64');
  const signature = createHmac('sha256', key).update(`${job.id}.${timestamp}.${body}`).digest('base64');
  try {
    const response = await fetch(job.data.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': job.id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
      },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    await response.text();
    if (!response.ok) throw new Error(`the receiver answered ${response.status}`);
  } catch (error) {
    await boss.fail(QUEUE, job.id, { message: String(error) });
  }
}

answer({ start });
