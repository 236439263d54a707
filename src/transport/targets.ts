import { BoundedMap } from './bounded-map.ts';
import type { Connection } from './connection.ts';
import type { Destination, Guard } from './url.ts';

/** URLs whose judgement is kept. A judgement costs 2 µs, looking it up 0.03 µs. */
const maxTargets = 16_384;

/** A scheme, host and port with its waiting connections, the one used last at the end. */
export interface Origin {
  readonly url: string;
  readonly idle: Connection[];
  /** The address that answered last; tried first next time. */
  preferredAddress: string | null;
  /** How often in a row a connection was fit to be used again. */
  trust: number;
}

/** A URL that passed the guard, and where its connections are kept. */
export interface Target {
  readonly destination: Destination;
  /** The first lines of every request to it. */
  readonly opening: string;
  readonly origin: Origin;
}

/** A URL that did not pass, with the reason. */
export interface RefusedTarget {
  readonly refused: string;
}

/** Judges each URL once and remembers it: the policy of a sender never changes. */
export class Targets {
  readonly #guard: Guard;
  readonly #targets = new BoundedMap<string, Target | RefusedTarget>(maxTargets, (target) => this.#drop(target));
  readonly #origins = new Map<string, { origin: Origin; targets: number }>();

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  find(url: string): Target | RefusedTarget {
    return this.#targets.get(url) ?? this.#add(url);
  }

  #add(url: string): Target | RefusedTarget {
    const judgement = this.#guard.judge(url);
    const target = judgement.ok
      ? {
          destination: judgement.destination,
          opening: openingOf(judgement.destination),
          origin: this.#originOf(judgement.destination.origin),
        }
      : { refused: judgement.message };
    this.#targets.set(url, target);
    return target;
  }

  #originOf(url: string): Origin {
    let entry = this.#origins.get(url);
    if (entry === undefined) {
      entry = { origin: { url, idle: [], preferredAddress: null, trust: 0 }, targets: 0 };
      this.#origins.set(url, entry);
    }
    entry.targets += 1;
    return entry.origin;
  }

  /** An origin goes with its last URL; its connections live on until they have been idle for long enough. */
  #drop(target: Target | RefusedTarget): void {
    if ('refused' in target) {
      return;
    }
    const entry = this.#origins.get(target.origin.url);
    if (entry !== undefined) {
      entry.targets -= 1;
      if (entry.targets === 0) {
        this.#origins.delete(target.origin.url);
      }
    }
  }
}

function openingOf({ origin, path }: Destination): string {
  return `POST ${path} HTTP/1.1\r\nhost: ${new URL(origin).host}\r\nconnection: keep-alive\r\n`;
}
