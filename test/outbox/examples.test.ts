import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { preparePython } from '../../scripts/python.ts';
import { outboxTableSql } from '../../src/outbox/sqlite-table.ts';
import { loopbackOnly } from '../e2e/process.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { dataDir, startServer, type Running } from '../e2e/server.ts';
import { hasPostgres, startPostgres, type PostgresServer } from '../postgres/server.ts';

const root = join(import.meta.dirname, '../..');
const examples = join(root, 'examples/outbox');
const requirements = join(import.meta.dirname, 'requirements.txt');
const inNode = [...loopbackOnly, '--conditions=posthorn-source'];

/** Runs a program to its end; resolves to what it printed. Fails where it fails, with what it said. */
async function run(command: string, argv: readonly string[], env: NodeJS.ProcessEnv, cwd = root): Promise<string> {
  const child = spawn(command, argv, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code, output).toBe(0);
  return output;
}

/** The order that an example says it committed must arrive; the one it rolled back before must have left no trace. */
async function check(output: string, node: Running, receiver: Receiver): Promise<void> {
  const [, rolledBack] = /^rolled back (\S+)$/m.exec(output) ?? [];
  const [, committed] = /^committed (\S+)$/m.exec(output) ?? [];
  expect(rolledBack, output).toBeDefined();
  expect(committed, output).toBeDefined();
  const { body } = await receiver.waitFor(({ headers }) => headers['webhook-id'] === `order-${committed}`);
  expect(JSON.parse(body)).toMatchObject({ type: 'order.created', data: { id: committed, total: 1050 } });
  expect((await node.call('GET', `/v1/events/order-${committed}`)).status).toBe(200);
  // Events are taken in the order they were emitted in: this one would be there by now.
  expect((await node.call('GET', `/v1/events/order-${rolledBack}`)).status).toBe(404);
}

describe.skipIf(!hasPostgres(18))('the example with a database on PostgreSQL', () => {
  const data = dataDir();
  /** A copy, since Prisma generates code beside its schema. Inside the package, whose dependencies it needs. */
  const prisma = join(root, 'test/outbox/.prisma');
  let server: PostgresServer;
  let node: Running;
  let receiver: Receiver;
  beforeAll(async () => {
    server = await startPostgres();
    node = await startServer(data.path, { databaseUrl: server.url() });
    receiver = await startReceiver();
    await node.webhook(receiver.url(), ['*']);
  }, 60_000);
  afterAll(async () => {
    await node.stop();
    await receiver.close();
    await server.stop();
    data.remove();
    rmSync(prisma, { recursive: true, force: true });
  });

  it.each(['pg', 'postgres-js', 'kysely', 'drizzle', 'knex'])('%s', { timeout: 60_000 }, async (name) => {
    const argv = [...inNode, join(examples, name, 'order.mjs')];
    await check(await run(process.execPath, argv, { DATABASE_URL: server.url() }), node, receiver);
  });

  it('prisma', { timeout: 60_000 }, async () => {
    cpSync(join(examples, 'prisma'), prisma, { recursive: true, filter: (path) => !path.includes('generated') });
    // It generates without the engine for migrations, but wants to download it all the same, unless it is told of one.
    await run(
      process.execPath,
      [join(root, 'node_modules/prisma/build/index.js'), 'generate'],
      {
        PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
        CHECKPOINT_DISABLE: '1',
        NODE_OPTIONS: inNode.slice(0, 2).join(' '),
      },
      prisma,
    );
    const argv = [...inNode, join(prisma, 'order.mjs')];
    await check(await run(process.execPath, argv, { DATABASE_URL: server.url() }), node, receiver);
  });

  it('python', { timeout: 300_000 }, async () => {
    const argv = [join(examples, 'python/order.py')];
    await check(await run(preparePython(requirements), argv, { DATABASE_URL: server.url() }), node, receiver);
  });
});

describe('the example with a database on SQLite', () => {
  const data = dataDir();
  const file = join(data.path, 'shop.db');
  let node: Running;
  let receiver: Receiver;
  beforeAll(async () => {
    node = await startServer(join(data.path, 'posthorn'), { outboxFile: file });
    receiver = await startReceiver();
    await node.webhook(receiver.url(), ['*']);
  });
  afterAll(async () => {
    await node.stop();
    await receiver.close();
    data.remove();
  });

  it('better-sqlite3', { timeout: 60_000 }, async () => {
    const argv = [...inNode, join(examples, 'better-sqlite3/order.mjs')];
    await check(await run(process.execPath, argv, { DATABASE_FILE: file }), node, receiver);
  });

  it('python', { timeout: 300_000 }, async () => {
    const argv = [join(examples, 'python/order_sqlite.py')];
    await check(await run(preparePython(requirements), argv, { DATABASE_FILE: file }), node, receiver);
  });

  it('makes the table as createOutboxTable does, and as docs/outbox.md shows', () => {
    expect(readFileSync(join(examples, 'python/order_sqlite.py'), 'utf8')).toContain(outboxTableSql);
    expect(readFileSync(join(root, 'docs/outbox.md'), 'utf8')).toContain(outboxTableSql.trim());
  });
});
