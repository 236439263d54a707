// An event inside your own transaction, with Kysely. DATABASE_URL names the database that Posthorn runs on.
import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { emit } from 'posthorn/outbox';

const db = new Kysely({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.DATABASE_URL }) }),
});
await db.schema
  .createTable('orders')
  .ifNotExists()
  .addColumn('id', 'text', (column) => column.primaryKey())
  .addColumn('total', 'integer', (column) => column.notNull())
  .execute();

async function placeOrder(order) {
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('orders').values(order).execute();
    await emit(trx, { type: 'order.created', data: order, id: `order-${order.id}` });
    if (order.total < 0) throw new Error('An order costs something.');
  });
}

const wrong = { id: randomUUID(), total: -1 };
await placeOrder(wrong).catch(() => console.log('rolled back', wrong.id));
const right = { id: randomUUID(), total: 1050 };
await placeOrder(right);
console.log('committed', right.id);
await db.destroy();
