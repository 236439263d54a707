// An event inside your own transaction, with Prisma. DATABASE_URL names the database that Posthorn runs on. First, in
// this folder: npx prisma generate
import { randomUUID } from 'node:crypto';
import { PrismaPg } from '@prisma/adapter-pg';
import { emit } from 'posthorn/outbox';
import { PrismaClient } from './generated/client.ts';

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });
await prisma.$executeRaw`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)`;

async function placeOrder(order) {
  await prisma.$transaction(async (tx) => {
    await tx.order.create({ data: order });
    await emit(tx, { type: 'order.created', data: order, id: `order-${order.id}` });
    if (order.total < 0) throw new Error('An order costs something.');
  });
}

const wrong = { id: randomUUID(), total: -1 };
await placeOrder(wrong).catch(() => console.log('rolled back', wrong.id));
const right = { id: randomUUID(), total: 1050 };
await placeOrder(right);
console.log('committed', right.id);
await prisma.$disconnect();
