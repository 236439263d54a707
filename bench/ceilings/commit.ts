// How many deliveries a second SQLite takes to disk where nothing else happens: four row writes each (event, delivery,
// attempt, the delivery's end), a hundred deliveries a commit, every commit fsynced.
import Database from 'better-sqlite3';
import { join } from 'node:path';
import { newDeliveryId, newId } from '../../src/model/id.ts';
import { answer } from '../rpc.ts';
import type { CeilingReport } from './dispatch.ts';

const BATCH = 100;
const SCHEMA = `
  CREATE TABLE events (id TEXT PRIMARY KEY, type TEXT NOT NULL, data TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE deliveries (id TEXT PRIMARY KEY, event_id TEXT NOT NULL, status TEXT NOT NULL, ended_at INTEGER) WITHOUT ROWID;
  CREATE TABLE attempts (delivery_id TEXT NOT NULL, number INTEGER NOT NULL, started_at INTEGER NOT NULL,
    duration_ms REAL NOT NULL, status_code INTEGER, PRIMARY KEY (delivery_id, number)) WITHOUT ROWID;
`;

function run(plan: { folder: string; durationMs: number; dataBytes: number }): CeilingReport {
  const db = new Database(join(plan.folder, 'ceiling.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec(SCHEMA);
  const addEvent = db.prepare('INSERT INTO events VALUES (?, ?, ?, ?)');
  const addDelivery = db.prepare("INSERT INTO deliveries VALUES (?, ?, 'sending', NULL)");
  const addAttempt = db.prepare('INSERT INTO attempts VALUES (?, 1, ?, ?, 200)');
  const endDelivery = db.prepare("UPDATE deliveries SET status = 'delivered', ended_at = ? WHERE id = ?");
  const data = JSON.stringify({ note: 'x'.repeat(plan.dataBytes - 11) });
  const commit = db.transaction(() => {
    const now = Date.now();
    const ids: string[] = [];
    for (let i = 0; i < BATCH; i++) {
      const eventId = newId(now);
      const id = newDeliveryId(now);
      addEvent.run(eventId, 'bench.t0', data, now);
      addDelivery.run(id, eventId);
      ids.push(id);
    }
    for (const id of ids) {
      addAttempt.run(id, now, 1.5);
      endDelivery.run(now, id);
    }
  });

  let done = 0;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  while (performance.now() - startedAt < plan.durationMs) {
    commit();
    done += BATCH;
  }
  const elapsedMs = performance.now() - startedAt;
  const cpu = process.cpuUsage(cpuBefore);
  db.close();
  return { perSecond: done / (elapsedMs / 1000), cpuUsPerDelivery: (cpu.user + cpu.system) / done };
}

answer({ run });
