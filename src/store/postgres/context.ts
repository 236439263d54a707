import type { Connections } from './connections.ts';
import type { DueRing } from '../due.ts';

/** What the verbs share. */
export interface Context {
  readonly connections: Connections;
  readonly due: DueRing;
  /** The lease token of this process: another one after its lease was lost. */
  readonly node: () => number;
  /** Database time, epoch ms. */
  readonly now: () => number;
}
