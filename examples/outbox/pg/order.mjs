// An event inside your own transaction, with pg. DATABASE_URL names the database that Posthorn runs on.
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { emit } from 'posthorn/outbox';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query('CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)');

async function placeOrder(order) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('INSERT INTO orders (id, total) VALUES ($1, $2)', [order.id, order.total]);
    await emit(client, { type: 'order.created', data: order, id: `order-${order.id}` });
    if (order.total < 0) throw new Error('An order costs something.');
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

const wrong = { id: randomUUID(), total: -1 };
await placeOrder(wrong).catch(() => console.log('rolled back', wrong.id));
const right = { id: randomUUID(), total: 1050 };
await placeOrder(right);
console.log('committed', right.id);
await pool.end();
