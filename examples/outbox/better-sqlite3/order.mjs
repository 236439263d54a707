// An event inside your own transaction, with better-sqlite3. DATABASE_FILE is your own database; Posthorn takes the events
// from it: POSTHORN_OUTBOX_FILE names the same file.
import { randomUUID } from 'node:crypto';
import Database from 'better-sqlite3';
import { createOutboxTable, emit } from 'posthorn/outbox';

const db = new Database(process.env.DATABASE_FILE);
db.pragma('journal_mode = WAL');
db.exec('CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, total INTEGER NOT NULL)');
createOutboxTable(db);

const insertOrder = db.prepare('INSERT INTO orders (id, total) VALUES (@id, @total)');
const placeOrder = db.transaction((order) => {
  insertOrder.run(order);
  emit(db, { type: 'order.created', data: order, id: `order-${order.id}` });
  if (order.total < 0) throw new Error('An order costs something.');
});

const wrong = { id: randomUUID(), total: -1 };
try {
  placeOrder(wrong);
} catch {
  console.log('rolled back', wrong.id);
}
const right = { id: randomUUID(), total: 1050 };
placeOrder(right);
console.log('committed', right.id);
db.close();
