import type { Logger } from 'pino';
import { PosthornError } from '../errors.ts';
import type { Cluster, RecordChange } from '../store/store.ts';
import { Coalesced } from './coalesced.ts';
import { isStoreFault } from './store-fault.ts';

const AGAIN_AFTER_FAULT_MS = 250;
/** Between two looks at what others changed that somebody asks for: whoever makes up ids, or keys, asks no oftener. */
const CATCH_UP_SPACING_MS = 50;
const CATCH_UP_TIMEOUT_MS = 5_000;

/** Puts in force here what another node changed: what the store has now, whatever is known, however often it is told. */
export interface Follower {
  readonly kinds: readonly RecordChange['kind'][];
  readonly follow: (changes: readonly RecordChange[] | 'everything') => Promise<void>;
}

export interface RecordChangesOptions {
  cluster: Cluster | null;
  /** In the order in which they follow: what others refer to comes first. */
  followers: readonly Follower[];
  log: Logger;
}

/** What other nodes changed, put in force here in the order in which it came. */
export class RecordChanges {
  readonly #o: RecordChangesOptions;
  readonly #catchingUp: Coalesced;
  #begin: () => void = () => undefined;
  /** All that was told is in force when it resolves. Nothing is before the records were read at the start. */
  #chain = new Promise<void>((resolve) => (this.#begin = resolve));
  #isStopped = false;

  constructor(options: RecordChangesOptions) {
    this.#o = options;
    this.#catchingUp = new Coalesced(() => this.#catchUp(), CATCH_UP_SPACING_MS);
  }

  begin(): void {
    this.#begin();
  }

  stop(): void {
    this.#isStopped = true;
  }

  changed(changes: readonly RecordChange[] | 'everything'): void {
    this.#chain = this.#chain.then(async () => {
      for (const follower of this.#o.followers) await this.#follow(follower, changes);
    });
  }

  /**
   * Resolves when what every node had changed before the call is in force here: for whoever misses something that may
   * just have been made elsewhere. At once where there is one node. Rejects with STORE_UNAVAILABLE.
   */
  catchUp(): Promise<void> {
    return this.#o.cluster === null ? Promise.resolve() : this.#catchingUp.run();
  }

  async #catchUp(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new PosthornError('STORE_UNAVAILABLE'));
      }, CATCH_UP_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.#o.cluster!.catchUp(), late]);
      await Promise.race([this.#chain, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #follow({ kinds, follow }: Follower, changes: readonly RecordChange[] | 'everything'): Promise<void> {
    const its = changes === 'everything' ? changes : unique(changes.filter(({ kind }) => kinds.includes(kind)));
    while (its.length > 0 && !this.#isStopped) {
      try {
        await follow(its);
        return;
      } catch (error) {
        if (!isStoreFault(error)) {
          // A mistake of ours, which must not keep back what comes behind it.
          this.#o.log.error({ err: error, kinds }, 'records.not_followed');
          return;
        }
        this.#o.log.warn({ kinds, error: String(error) }, 'records.not_followed');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
      }
    }
  }
}

function unique(changes: readonly RecordChange[]): RecordChange[] {
  return [...new Map(changes.map((change) => [`${change.kind} ${change.tenantId} ${change.key}`, change])).values()];
}
