import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startProcess, type PosthornProcess } from '../e2e/process.ts';
import { dataDir } from '../e2e/server.ts';
import type { Broker, Queue } from './broker.ts';
import { startGate, type Gate } from './gate.ts';
import { startIngest, type IngestProcess } from './ingest-process.ts';

const PATIENCE_MS = 60_000;

/** An event as the list of events shows it. */
export interface SentEvent {
  id: string;
  type: string;
  group: string | null;
  occurredAt: string;
}

/** What a test of one broker alone works with. */
export interface Scene {
  /** Starts `posthorn ingest` against the Posthorn of the test, from its queue unless told otherwise. */
  run: (...argv: string[]) => IngestProcess;
  /** Only with what is given. */
  runBare: (...argv: string[]) => IngestProcess;
  queue: () => Queue;
  events: () => Promise<SentEvent[]>;
}

/** What `posthorn ingest` promises, held to a real broker, a real Posthorn, and processes that are killed. */
export function testBroker(name: string, start: () => Promise<Broker>, more?: (scene: Scene) => void): void {
  describe(`posthorn ingest from ${name}`, { timeout: 4 * PATIENCE_MS }, () => {
    let broker: Broker;
    let queue: Queue;
    let gate: Gate;
    let posthorn: PosthornProcess;
    let data: ReturnType<typeof dataDir>;
    let started: IngestProcess[];

    // The first start may compile a broker, or install one.
    beforeAll(async () => {
      broker = await start();
    }, 300_000);
    afterAll(() => broker.close());
    beforeEach(async () => {
      started = [];
      data = dataDir();
      posthorn = await startPosthorn();
      gate = await startGate(posthorn.client.base);
      queue = await broker.queue();
    }, PATIENCE_MS);
    afterEach(async () => {
      for (const one of started) await one.end('SIGKILL');
      await gate.close();
      await posthorn.end('SIGKILL');
      data.remove();
    }, PATIENCE_MS);

    const startPosthorn = () => startProcess(data.path, ['--log-level', 'error']);

    function run(...argv: string[]): IngestProcess {
      return runBare('--type', 'order.created', '--group-from', 'field:n', ...queue.argv, ...argv);
    }

    function runBare(...argv: string[]): IngestProcess {
      const one = startIngest(['--url', gate.url, '--api-key', 'dev-api-key-local', ...argv], queue.env);
      started.push(one);
      return one;
    }

    async function events(): Promise<SentEvent[]> {
      const found: SentEvent[] = [];
      let cursor: string | null = null;
      do {
        const path: string = `/v1/events?limit=200${cursor === null ? '' : `&cursor=${cursor}`}`;
        const { body } = await posthorn.client.call('GET', path);
        found.push(...(body.events as SentEvent[]));
        cursor = body.nextCursor as string | null;
      } while (cursor !== null);
      return found;
    }

    /** The number in each message, of all events. */
    async function published(): Promise<string[]> {
      return (await events()).map(({ group }) => group!);
    }

    async function untilAcknowledged(left = 0): Promise<void> {
      await until(async () => (await queue.unacknowledged()) === left);
    }

    it('makes 1,000 messages 1,000 events, also when it is killed between a commit and its answer', async () => {
      await queue.send(messages(1, 350));
      gate.rule((n) => (n === 6 ? 'swallow' : 'pass'));
      const first = run('--batch', '50', '--max-wait', '5s');
      await gate.reached(6);
      await first.end('SIGKILL');
      // Committed, but nobody was told: the broker has to give these again.
      const committed = (await published()).length;
      expect(committed).toBeLessThan(350);
      expect(await queue.unacknowledged()).toBeGreaterThan(350 - committed);

      const second = run('--batch', '50');
      await queue.send(messages(351, 1000));
      await untilAcknowledged();
      expect(sorted(await published())).toEqual(numbers(1, 1000));
      expect((await second.end('SIGTERM')).code).toBe(0);
    });

    it('waits for a Posthorn that is away or full, and goes on by itself', async () => {
      await queue.send(messages(1, 200));
      gate.rule((n) => (n === 2 ? 503 : n === 3 ? 429 : 'pass'));
      const one = run('--batch', '20');
      await gate.reached(5);
      gate.target(null);
      await posthorn.end('SIGKILL');
      await queue.send(messages(201, 300));
      await one.logged(({ msg, reason }) => msg === 'ingest.waiting' && String(reason).includes('cannot be reached'));
      posthorn = await startPosthorn();
      gate.target(posthorn.client.base);
      await one.logged(({ msg }) => msg === 'ingest.resumed');
      await untilAcknowledged();
      expect(sorted(await published())).toEqual(numbers(1, 300));
      expect((await one.end('SIGTERM')).code).toBe(0);
    });

    it('acknowledges nothing before Posthorn has answered, and what was not acknowledged comes again', async () => {
      await queue.send(messages(1, 30));
      gate.rule(() => 'mute');
      const first = run('--batch', '10');
      await gate.reached(1);
      expect(await queue.unacknowledged()).toBe(30);
      gate.rule(() => 503);
      await first.end('SIGKILL');
      expect(await queue.unacknowledged()).toBe(30);
      expect(await published()).toEqual([]);

      gate.rule(() => 503);
      const second = run('--batch', '10');
      await second.logged(({ msg }) => msg === 'ingest.waiting');
      expect(await queue.unacknowledged()).toBe(30);
      // Nothing is in flight: it gives everything back, and leaves.
      expect(await second.end('SIGTERM')).toMatchObject({ code: 0, stderr: '' });

      gate.rule(() => 'pass');
      run('--batch', '10');
      await untilAcknowledged();
      expect(sorted(await published())).toEqual(numbers(1, 30));
    });

    it('finishes what is in flight on SIGTERM, acknowledges it, and leaves the rest', async () => {
      await queue.send(messages(1, 40));
      gate.rule(() => 'late');
      const one = run('--batch', '10', '--max-wait', '5s');
      await gate.reached(1);
      const ending = one.end('SIGTERM');
      await one.logged(({ msg }) => msg === 'ingest.stopping');
      gate.release();
      const { code, stderr } = await ending;
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(one.log().at(-1)).toMatchObject({ msg: 'ingest.stopped', accepted: 10, refused: 0 });
      await untilAcknowledged(30);
      expect((await published()).length).toBe(10);
    });

    it('puts messages aside that cannot be events, says why, and publishes all others', async () => {
      const poison = [
        'no JSON',
        '{"n":"twice","n":"twice"}',
        JSON.stringify({ n: 'large', text: 'x'.repeat(300_000) }),
      ];
      const large = poison.at(-1)!;
      const isLargeSent = !queue.argv.some((argument) => argument.startsWith('sqs:'));
      const sent = isLargeSent ? poison : poison.slice(0, 2);
      await queue.send([...messages(1, 10), sent[0]!, ...messages(11, 20), ...sent.slice(1), ...messages(21, 30)]);
      const one = run(...queue.deadLetterArgv, '--batch', '50');
      for (const [i, reason] of ['not valid JSON', 'twice', 'larger than'].slice(0, sent.length).entries()) {
        const line = await one.logged(
          ({ msg, reason: said }) => msg === 'message.refused' && String(said).includes(reason),
        );
        expect(line, String(i)).toMatchObject({ fate: 'dead-letter', level: 40 });
      }
      await until(async () => (await queue.deadLetters()).length === sent.length);
      expect(sorted(await queue.deadLetters())).toEqual(sorted(sent));
      await until(async () => (await published()).length === 30);
      expect(sorted(await published())).toEqual(numbers(1, 30));
      expect(large.length).toBeGreaterThan(256 * 1024);
      await one.end('SIGTERM');
      expect(Number(one.log().at(-1)!.refused)).toBeGreaterThanOrEqual(sent.length);
    });

    it('ends at a message that cannot be an event where it is told to, and keeps it in the queue', async () => {
      await queue.send(['{"n":1}']);
      const first = run('--on-invalid', 'stop');
      await until(async () => (await published()).length === 1);
      await untilAcknowledged();
      await first.end('SIGTERM');
      await queue.send(['no JSON']);
      const { code, stderr } = await run('--on-invalid', 'stop').ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^posthorn: .* cannot be an event: its body is not valid JSON: .*--on-invalid.*\n$/);
      expect(await queue.unacknowledged()).toBe(1);

      const third = run('--on-invalid', 'skip');
      await third.logged(({ msg, fate }) => msg === 'message.refused' && fate === 'skipped');
      await untilAcknowledged();
      expect(await published()).toEqual(['1']);
    });

    // The local SQS forgets its messages when it ends.
    if (name !== 'SQS') {
      it('outlives a restart of the broker', async () => {
        await queue.send(messages(1, 500));
        gate.rule((n) => (n === 3 ? 'late' : 'pass'));
        const one = run('--batch', '50');
        await gate.reached(3);
        await broker.restart!();
        gate.release();
        if (broker.isRestartNoticed) await one.logged(({ msg }) => msg === 'broker.found');
        await queue.send(messages(501, 600));
        await untilAcknowledged();
        expect(sorted(await published())).toEqual(numbers(1, 600));
        expect((await one.end('SIGTERM')).code).toBe(0);
      });
    }

    it('ends where Posthorn refuses its key, and acknowledges nothing', async () => {
      await queue.send(messages(1, 3));
      const { code, stderr } = await run('--api-key', 'wrong-key-of-nobody').ended;
      expect(code).toBe(1);
      expect(JSON.parse(stderr)).toMatchObject({ code: 'UNAUTHORIZED' });
      expect(await queue.unacknowledged()).toBe(3);
    });

    more?.({ run, runBare, queue: () => queue, events });
  });
}

function messages(from: number, to: number): string[] {
  return numbers(from, to).map((n) => `{"n":${n},"text":"Zürich"}`);
}

/** As text, sorted as text. */
function numbers(from: number, to: number): string[] {
  return sorted(Array.from({ length: to - from + 1 }, (_, i) => String(from + i)));
}

function sorted(texts: readonly string[]): string[] {
  return [...texts].sort();
}

/** Asks again until it is so: a broker announces none of what is asked here. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`still not so: ${isSo.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
