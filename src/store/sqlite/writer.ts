import { statSync } from 'node:fs';
// The writer's thread: the only connection that changes the store. One message in is one transaction and one message out.
import type Database from 'better-sqlite3';
import { parentPort, workerData } from 'node:worker_threads';
import { PosthornError } from '../../errors.ts';
import { createAccept } from './accept.ts';
import { createChange } from './change.ts';
import { createClaim, fillDueRing } from './claim.ts';
import { prepareDataDir } from '../data-directory.ts';
import { databasePath, lockDataDir, openForWriting } from './database.ts';
import { DueRing } from '../due.ts';
import { describe } from './failure.ts';
import type { Failure } from './failure.ts';
import { migrate, pendingIn } from './migrate.ts';
import { createMoves } from './move.ts';
import { refuseMoved } from './moved.ts';
import { createPrune } from './prune.ts';
import { createPrunePayloads } from './prune-payloads.ts';
import { beginSession, endSession } from './session.ts';
import { createSettle } from './settle.ts';
import { verb } from './verbs.ts';
import type { Run, Stream, WriterContext, WriterReply, WriterRequest, WriterStart } from './verbs.ts';

/** The log is folded into the database when it holds so many pages (8 MiB): short stalls, and a small file to replay. */
const CHECKPOINT_PAGES = 1_000;

interface Open {
  db: Database.Database;
  lock: Database.Database;
  context: WriterContext;
}

const start = workerData as WriterStart;
const port = parentPort!;

function reply(message: WriterReply): void {
  port.postMessage(message);
}

function open(): Open {
  prepareDataDir(start.dataDir);
  const lock = lockDataDir(start.dataDir);
  try {
    const db = openForWriting(start.dataDir, start.maxBytes);
    const missing = pendingIn(db);
    if (missing.length > 0 && !start.migrate) {
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `The store in ${start.dataDir} needs ${missing.length} migration(s) first: run \`posthorn migrate\`.`,
      );
    }
    migrate(db, start.now);
    refuseMoved(db, start.dataDir);
    db.prepare("INSERT OR IGNORE INTO meta (key, value) VALUES ('checked_at', '0')").run();
    return { db, lock, context: { db, session: beginSession(db, start.now), due: new DueRing() } };
  } catch (error) {
    lock.close();
    throw error;
  }
}

function serve({ db, lock, context }: Open): void {
  const { accept, extendFanOut, addDeliveries } = createAccept(context);
  const { settle } = createSettle(context);
  const { claim } = createClaim(context);
  const { move, redeliver, acknowledge } = createMoves(context);
  const { prune } = createPrune(context);
  const { prunePayloads } = createPrunePayloads(context);
  const { change, changeUnless } = createChange(context);
  const touch = db.prepare("UPDATE meta SET value = ? WHERE key = 'checked_at'");

  const runs: Run[] = [];
  runs[verb.accept] = accept;
  runs[verb.settle] = settle;
  runs[verb.claim] = (stream, at) => {
    if (isRingStale) {
      fillDueRing(context);
      isRingStale = false;
    }
    return claim(stream, at);
  };
  runs[verb.move] = move;
  runs[verb.redeliver] = redeliver;
  runs[verb.acknowledge] = acknowledge;
  runs[verb.extendFanOut] = extendFanOut;
  runs[verb.addDeliveries] = addDeliveries;
  runs[verb.prune] = prune;
  runs[verb.prunePayloads] = prunePayloads;
  runs[verb.change] = change;
  runs[verb.changeUnless] = changeUnless;
  runs[verb.check] = (stream, at) => touch.run(String(stream[at])).changes;

  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  const savepoint = db.prepare('SAVEPOINT one');
  const release = db.prepare('RELEASE one');
  const undo = db.prepare('ROLLBACK TO one');
  const pagesInLog = db.prepare('PRAGMA wal_checkpoint = NOOP');
  const checkpoint = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  let isRingStale = true;

  function rollBack(): void {
    // What the ring was told inside the transaction is not so.
    isRingStale = true;
    if (db.inTransaction) db.exec('ROLLBACK');
  }

  /** Everything in one transaction, without a savepoint: the usual way. */
  function runAll(stream: Stream): WriterReply {
    const results: unknown[] = [];
    begin.run();
    for (let at = 0; at < stream.length; at = stream[at + 1] as number) {
      results.push(runs[stream[at] as number]!(stream, at + 2));
    }
    commit.run();
    return { kind: 'done', results, errors: [] };
  }

  /** Again, with a savepoint for each call, after one of them was wrong: its neighbours must not suffer. */
  function runEach(stream: Stream): WriterReply {
    const results: unknown[] = [];
    const errors: [number, Failure][] = [];
    begin.run();
    for (let at = 0; at < stream.length; at = stream[at + 1] as number) {
      savepoint.run();
      try {
        results.push(runs[stream[at] as number]!(stream, at + 2));
      } catch (error) {
        const failure = describe(error, start.dataDir);
        if (failure.scope !== 'call') throw error;
        isRingStale = true;
        undo.run();
        errors.push([results.push(null) - 1, failure]);
      }
      release.run();
    }
    commit.run();
    return { kind: 'done', results, errors };
  }

  const path = databasePath(start.dataDir);
  const inode = statSync(path).ino;

  function answer(stream: Stream): WriterReply {
    // What is written to a file without a name ends with the process, and nobody may be told that it is durable.
    if (statSync(path, { throwIfNoEntry: false })?.ino !== inode) {
      const message = `The database in ${start.dataDir} was deleted or replaced under the running process. Stop it, and start it on a directory that stays.`;
      return fail(new PosthornError('STORE_UNAVAILABLE', message));
    }
    try {
      return runAll(stream);
    } catch (error) {
      rollBack();
      if (describe(error, start.dataDir).scope !== 'call') return fail(error);
    }
    try {
      return runEach(stream);
    } catch (error) {
      rollBack();
      return fail(error);
    }
  }

  function fail(error: unknown): WriterReply {
    return { kind: 'failed', failure: describe(error, start.dataDir) };
  }

  function closeFiles(): void {
    db.close();
    lock.close();
  }

  function foldLog(): void {
    const { log } = pagesInLog.get() as { log: number };
    if (log < CHECKPOINT_PAGES) return;
    try {
      checkpoint.run();
    } catch {
      // A full disk, mostly: the log keeps everything, and the next commit says what is wrong.
    }
  }

  port.on('message', (request: WriterRequest) => {
    if (request.kind === 'close') {
      try {
        endSession(db, context.session, request.now);
        closeFiles();
        reply({ kind: 'closed' });
      } catch (error) {
        // The leases end with the lock all the same: the next session takes them for orphans.
        closeFiles();
        reply(fail(error));
      }
      port.close();
      return;
    }
    const message = answer(request.stream);
    reply(message);
    if (message.kind === 'failed' && message.failure.scope === 'writer') {
      closeFiles();
      port.close();
    } else foldLog();
  });
  reply({ kind: 'open' });
}

try {
  serve(open());
} catch (error) {
  reply({ kind: 'failed', failure: describe(error, start.dataDir) });
  port.close();
}
