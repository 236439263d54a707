/** An event that an application stored in a transaction of its own. Nobody has checked it: it may be anything. */
export interface OutboxRow {
  id: number;
  /** The same whenever this row is taken, and no other row's, ever. */
  key: string;
  tenantId: string;
  type: string;
  /** JSON text. */
  data: string;
  ownId: string | null;
  /** Epoch ms. */
  occurredAt: number | null;
  category: string | null;
  group: string | null;
  source: string | null;
  /** Epoch ms. */
  createdAt: number;
}

/** `done`: taken in, it can go. `later`: stays for another time. Else why it can never be sent: it is set aside. */
export type OutboxVerdict = 'done' | 'later' | { refused: string };

export interface TakeRequest {
  limit: number;
  /** Ids of rows to pass over. */
  except: readonly number[];
}

/** Where applications leave events: a table in their own database. */
export interface OutboxSource {
  /**
   * Hands the oldest rows to `publish`, in the order of their ids, deletes those that are done and sets aside those
   * refused, all in one transaction: after a crash in between the same rows come again. No two takers ever have the same
   * rows at a time. Resolves to how many there were; null: somebody else is at it. Where `publish` rejects, nothing changes.
   */
  take(
    request: TakeRequest,
    publish: (rows: readonly OutboxRow[]) => Promise<readonly OutboxVerdict[]>,
  ): Promise<number | null>;
  /** One listener, told of new rows as soon as can be; it may miss some, so ask every `pollMs`, too. */
  onFilled(listener: () => void): void;
  /** How often to look, ms. */
  readonly pollMs: number;
  /** Tolerates never-used and twice-closed. */
  close(): void;
}
