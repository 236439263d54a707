import Database from 'better-sqlite3';
import type { OutboxRow, OutboxSource, OutboxVerdict, TakeRequest } from '../store/outbox.ts';

/** A look costs some microseconds, and a file tells nobody that it has changed. */
const POLL_MS = 25;
/** A file that is not there yet, or has no table yet, is looked at this often. */
const ABSENT_POLL_MS = 1_000;
/** Of the payloads of one take. */
const MAX_BYTES = 8 * 1024 * 1024;

const TAKE = `
SELECT id, tenant_id AS tenantId, type, data, own_id AS ownId, occurred_at AS occurredAt, category, group_key AS "group",
       source, created_at AS createdAt
FROM posthorn_outbox WHERE failed_at IS NULL ORDER BY id`;
const DELETE = 'DELETE FROM posthorn_outbox WHERE id = ?';
const SET_ASIDE =
  "UPDATE posthorn_outbox SET failed_at = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), error = ? WHERE id = ?";

type Row = Omit<OutboxRow, 'key'>;

/** What is written once the events are stored. */
interface Outcome {
  id: number;
  /** Null: it is done. */
  error: string | null;
}

interface Opened {
  db: Database.Database;
  take: Database.Statement<[], Row>;
  remove: Database.Statement<[number]>;
  setAside: Database.Statement<[string, number]>;
}

export interface SqliteOutboxOptions {
  /** The application's database file, or its open database, which stays open. */
  outbox: string | Database.Database;
  /** Told once where the file, or its table, is not there yet. */
  onAbsent?: (error: unknown) => void;
}

/**
 * The table `posthorn_outbox` in an application's own SQLite database. Nothing ever waits for the application's locks:
 * while it writes, what is known here is written a moment later.
 */
export function createSqliteOutbox({ outbox, onAbsent = () => undefined }: SqliteOutboxOptions): OutboxSource {
  let opened: Opened | null = null;
  let retryAt = 0;
  let isAbsent = false;
  /** Stored by the engine, still in the table. */
  let outcomes: Outcome[] = [];

  function open(): Opened | null {
    if (opened !== null) return opened;
    if (performance.now() < retryAt) return null;
    let db: Database.Database | null = null;
    try {
      db = typeof outbox === 'string' ? openFile(outbox) : outbox;
      opened = {
        db,
        take: db.prepare<[], Row>(TAKE).safeIntegers(false),
        remove: db.prepare<[number]>(DELETE),
        setAside: db.prepare<[string, number]>(SET_ASIDE),
      };
      return opened;
    } catch (error) {
      if (typeof outbox === 'string') db?.close();
      retryAt = performance.now() + ABSENT_POLL_MS;
      if (!isAbsent && !isBusy(error)) {
        isAbsent = true;
        onAbsent(error);
      }
      return null;
    }
  }

  /** False where the application is writing, or in the midst of a transaction of its own. */
  function write({ db, remove, setAside }: Opened): boolean {
    if (outcomes.length === 0) return true;
    if (db.inTransaction) return false;
    const patienceMs = db.pragma('busy_timeout', { simple: true }) as number;
    try {
      db.pragma('busy_timeout = 0');
      db.transaction(() => {
        for (const { id, error } of outcomes) {
          if (error === null) remove.run(id);
          else setAside.run(error, id);
        }
      }).immediate();
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    } finally {
      db.pragma(`busy_timeout = ${patienceMs}`);
    }
    outcomes = [];
    return true;
  }

  function read({ take }: Opened, { limit, except }: TakeRequest): OutboxRow[] {
    const passed = new Set(except);
    const rows: OutboxRow[] = [];
    let bytes = 0;
    for (const row of take.iterate()) {
      if (passed.has(row.id)) continue;
      rows.push({ ...row, key: `${row.id} ${row.createdAt}` });
      bytes += row.data.length;
      if (rows.length >= limit || bytes >= MAX_BYTES) break;
    }
    return rows;
  }

  return {
    pollMs: POLL_MS,
    onFilled: () => undefined,
    async take(request, publish) {
      const file = open();
      if (file === null || !write(file) || file.db.inTransaction) return 0;
      let rows: OutboxRow[];
      try {
        rows = read(file, request);
      } catch (error) {
        if (isBusy(error)) return 0;
        throw error;
      }
      if (rows.length === 0) return 0;
      outcomes = outcomesOf(rows, await publish(rows));
      write(file);
      return rows.length;
    },
    close() {
      if (opened === null) return;
      if (opened.db.open) write(opened);
      if (typeof outbox === 'string') opened.db.close();
      opened = null;
    },
  };
}

function openFile(path: string): Database.Database {
  const db = new Database(path, { fileMustExist: true, timeout: 0 });
  // A delete that a power cut undoes is repeated; nothing waits for the disk then. Without WAL the file could suffer.
  if (db.pragma('journal_mode', { simple: true }) === 'wal') db.pragma('synchronous = NORMAL');
  return db;
}

function outcomesOf(rows: readonly OutboxRow[], verdicts: readonly OutboxVerdict[]): Outcome[] {
  return rows.flatMap(({ id }, i) => {
    const verdict = verdicts[i]!;
    if (verdict === 'later') return [];
    return [{ id, error: verdict === 'done' ? null : verdict.refused }];
  });
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && /^SQLITE_(BUSY|LOCKED)/.test(error.code);
}
