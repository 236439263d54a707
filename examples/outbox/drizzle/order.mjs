// An event inside your own transaction, with Drizzle. DATABASE_URL names the database that Posthorn runs on.
import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { emit } from 'posthorn/outbox';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const db = drizzle(pool);
const orders = pgTable('orders', { id: text().primaryKey(), total: integer().notNull() });
await db.execute(sql`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)`);

async function placeOrder(order) {
  await db.transaction(async (tx) => {
    await tx.insert(orders).values(order);
    await emit(tx, { type: 'order.created', data: order, id: `order-${order.id}` });
    if (order.total < 0) throw new Error('An order costs something.');
  });
}

const wrong = { id: randomUUID(), total: -1 };
await placeOrder(wrong).catch(() => console.log('rolled back', wrong.id));
const right = { id: randomUUID(), total: 1050 };
await placeOrder(right);
console.log('committed', right.id);
await pool.end();
