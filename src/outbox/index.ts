// What `import … from 'posthorn/outbox'` gives: for processes that write events beside their own rows. It runs nothing.
export { emit } from './emit.ts';
export type { EmitOptions } from './emit.ts';
export type { OutboxEvent } from './outbox-event.ts';
export { createOutboxTable } from './sqlite-table.ts';
export type { PostgresTransaction, SqliteDatabase, SqlRunner } from './transactions.ts';
export { PosthornError } from '../errors.ts';
