import type { Id } from '../../model/id.ts';
import type { Connections } from './connections.ts';
import type { DueRing } from '../due.ts';

/** What the verbs share. */
export interface Context {
  readonly connections: Connections;
  readonly due: DueRing;
  /** A delivery is `pending`, due at this time (epoch ms), and nobody has it: for the ring, and for other nodes. */
  readonly noteDue: (tenantId: string, endpointId: Id, dueAt: number) => void;
  /** The lease token of this process: another one after its lease was lost. */
  readonly node: () => number;
  /** Database time, epoch ms. */
  readonly now: () => number;
}
