// An event inside your own transaction, with postgres.js. DATABASE_URL names the database that Posthorn runs on.
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { emit } from 'posthorn/outbox';

const sql = postgres(process.env.DATABASE_URL, { onnotice: () => {} });
await sql`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)`;

async function placeOrder(order) {
  await sql.begin(async (tx) => {
    await tx`INSERT INTO orders (id, total) VALUES (${order.id}, ${order.total})`;
    await emit(tx, { type: 'order.created', data: order, id: `order-${order.id}` });
    if (order.total < 0) throw new Error('An order costs something.');
  });
}

const wrong = { id: randomUUID(), total: -1 };
await placeOrder(wrong).catch(() => console.log('rolled back', wrong.id));
const right = { id: randomUUID(), total: 1050 };
await placeOrder(right);
console.log('committed', right.id);
await sql.end();
