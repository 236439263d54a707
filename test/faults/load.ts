import type { Client } from '../e2e/server.ts';

/** What a publisher was told instead of 202. */
export interface Refusal {
  at: number;
  status: number;
  code: string;
  retryAfter: string | null;
}

export interface LoadOptions {
  /** Whom to ask, one after the other; looked up anew for each request. */
  clients: () => readonly Client[];
  type: string;
  /** Publishers at once; each sends one event at a time. Default 4. */
  lanes?: number;
  /** Pause of a publisher between two events, ms. Default 10. */
  pauseMs?: number;
}

/** A load of events with own ids: as a careful publisher does it, each is sent with the same id until it is accepted. */
export interface Load {
  /** Ids that were answered with 202, and when (epoch ms). */
  accepted: Map<string, number>;
  refusals: Refusal[];
  /** Requests that got no answer. */
  unanswered: number;
  /** Resolves once so many more were accepted. */
  more(count: number): Promise<void>;
  /** Begins no further event; resolves once those begun are accepted. Tolerates being called twice. */
  stop(): Promise<void>;
  /** The same without waiting until what was begun is accepted: when the test is over. Never rejects. */
  abandon(): Promise<void>;
}

/** An answer takes no longer, unless nobody is there to give it. */
const ANSWER_MS = 20_000;
/** An event that nobody accepts for so long ends the test. */
const GIVE_UP_MS = 45_000;
const AGAIN_MS = 25;

let loads = 0;

export function startLoad({ clients, type, lanes = 4, pauseMs = 10 }: LoadOptions): Load {
  const prefix = `load${++loads}`;
  const waiting = new Set<() => void>();
  let isEnding = false;
  let isAbandoned = false;
  let next = 0;
  const load: Load = {
    accepted: new Map(),
    refusals: [],
    unanswered: 0,
    more(count) {
      const goal = load.accepted.size + count;
      return new Promise((resolve, reject) => {
        const check = (): void => {
          if (load.accepted.size < goal) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        running.catch(reject);
      });
    },
    stop() {
      isEnding = true;
      return running;
    },
    async abandon() {
      isAbandoned = isEnding = true;
      await running.catch(() => undefined);
    },
  };

  async function publish(id: string): Promise<void> {
    const giveUpAt = Date.now() + GIVE_UP_MS;
    for (let tries = next; ; tries++) {
      const all = clients();
      const client = all[tries % all.length];
      if (isAbandoned || (client !== undefined && (await isAccepted(client, id)))) return;
      if (Date.now() > giveUpAt)
        throw new Error(`nobody accepts ${id}: ${JSON.stringify(load.refusals.at(-1) ?? 'no answer')}`);
      await pause(AGAIN_MS);
    }
  }

  async function isAccepted(client: Client, id: string): Promise<boolean> {
    let status: number;
    let body: { code?: string } | null;
    let headers: Headers;
    try {
      const request = client.call('POST', '/v1/events', { type, id, data: { id } });
      ({ status, body, headers } = await within(ANSWER_MS, request));
    } catch {
      load.unanswered++;
      return false;
    }
    if (status === 202) {
      load.accepted.set(id, Date.now());
      for (const check of [...waiting]) check();
      return true;
    }
    const refusal = { at: Date.now(), status, code: body?.code ?? '', retryAfter: headers.get('retry-after') };
    load.refusals.push(refusal);
    return false;
  }

  const running = Promise.all(
    Array.from({ length: lanes }, async () => {
      while (!isEnding) {
        await publish(`${prefix}-${next++}`);
        await pause(pauseMs);
      }
    }),
  ).then(() => undefined);
  running.catch(() => undefined); // whoever stops it hears
  return load;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, ms, new Error(`no answer within ${ms} ms`));
  });
  return Promise.race([promise, late]).finally(() => {
    clearTimeout(timer);
  });
}
