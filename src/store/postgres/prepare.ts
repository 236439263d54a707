import { PosthornError } from '../../errors.ts';
import type { Connections } from './connections.ts';
import { checkPrivileges, checkServer, diagnose } from './diagnose.ts';
import { migrate, nameOf, pendingIn } from './migrate.ts';
import type { Migration } from './migrations/index.ts';

/**
 * What every process does before it works on a database: looks whether the server will do, brings the schema up to date
 * (`migrate`) or refuses one that is not, and checks its own rights.
 * @throws PosthornError of one line with the remedy
 */
export async function prepareDatabase(
  connections: Connections,
  options: { migrate: boolean; migrations?: readonly Migration[] },
): Promise<void> {
  try {
    await checkServer(connections);
    const pending = await pendingIn(connections, options.migrations);
    if (pending.length > 0 && !options.migrate) throw lacks(connections, pending.length);
    if (pending.length > 0) await migrate(connections, options);
    await checkPrivileges(connections);
  } catch (error) {
    throw diagnose(error, connections);
  }
}

/**
 * Brings a database up to date, or with `dryRun` only says what it lacks; for who migrates apart from the nodes.
 * @returns names of migrations, oldest first: those applied, with `dryRun` those that are pending
 * @throws PosthornError of one line with the remedy
 */
export async function migrateDatabase(connections: Connections, { dryRun }: { dryRun: boolean }): Promise<string[]> {
  try {
    await checkServer(connections);
    return dryRun ? (await pendingIn(connections)).map(nameOf) : await migrate(connections);
  } catch (error) {
    throw diagnose(error, connections);
  }
}

function lacks({ schema }: Connections, count: number): PosthornError {
  const what = count === 1 ? '1 migration' : `${count} migrations`;
  return new PosthornError(
    'STORE_UNAVAILABLE',
    `The schema "${schema}" of the database needs ${what}: run \`posthorn migrate\` first.`,
  );
}
