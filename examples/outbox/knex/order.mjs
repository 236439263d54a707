// An event inside your own transaction, with Knex. DATABASE_URL names the database that Posthorn runs on.
import { randomUUID } from 'node:crypto';
import createKnex from 'knex';
import { emit } from 'posthorn/outbox';

const knex = createKnex({ client: 'pg', connection: process.env.DATABASE_URL });
await knex.raw('CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)');

async function placeOrder(order) {
  await knex.transaction(async (trx) => {
    await trx('orders').insert(order);
    await emit(trx, { type: 'order.created', data: order, id: `order-${order.id}` });
    if (order.total < 0) throw new Error('An order costs something.');
  });
}

const wrong = { id: randomUUID(), total: -1 };
await placeOrder(wrong).catch(() => console.log('rolled back', wrong.id));
const right = { id: randomUUID(), total: 1050 };
await placeOrder(right);
console.log('committed', right.id);
await knex.destroy();
