import type { Connections } from './connections.ts';
import { noticeStatement } from './notices.ts';

/** Where this node sends nothing itself, the others hear soon; where it does, they only help with what is too much. */
const SOON_MS = 20;
const LATER_MS = 500;

export interface DueHintOptions {
  connections: Connections;
  /** This process sends deliveries itself. */
  delivers: boolean;
  /** Other nodes deliver. */
  hasOthers: () => boolean;
}

/** Tells the other nodes that something is due which nobody has leased: at once, then as one for all within a while. */
export class DueHint {
  readonly #o: DueHintOptions;
  #timer: NodeJS.Timeout | null = null;
  #isWanted = false;

  constructor(options: DueHintOptions) {
    this.#o = options;
  }

  tell(): void {
    const { delivers, hasOthers } = this.#o;
    if (delivers && !hasOthers()) return;
    this.#isWanted = true;
    if (!this.#timer) this.#send();
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #send(): void {
    this.#isWanted = false;
    // Only a hint: who does not hear it looks by itself.
    this.#o.connections.query(noticeStatement('due')).catch(() => undefined);
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        if (this.#isWanted) this.#send();
      },
      this.#o.delivers ? LATER_MS : SOON_MS,
    ).unref();
  }
}
