import { PosthornError } from '../errors.ts';
import { CliFailure } from './failure.ts';

/** The flags that say which store it is, as they were given; undefined where that came from elsewhere. */
export interface StoreFlags {
  dataDir?: string | undefined;
  databaseUrl?: string | undefined;
  databaseSchema?: string | undefined;
}

/**
 * Why a store did not open, in the words of the command line. The store tells these cases apart in its message alone;
 * other errors come back as they are.
 */
export function explainStoreFailure(error: unknown, flags: StoreFlags): unknown {
  if (!(error instanceof PosthornError) || error.code !== 'STORE_UNAVAILABLE') return error;
  const lacking = /^(The (?:store in .+|schema "\w+" of the database)) needs (\d+) migration/.exec(error.message);
  if (lacking === null) return error;
  const [, store, number] = lacking;
  const what = number === '1' ? '1 migration' : `${number} migrations`;
  const command = `posthorn migrate${flagsOf(flags)}`;
  return new CliFailure(`${store} needs ${what}: run \`${command}\` with the same settings first.`, 1, error);
}

/** Whether the store did not open because a running server holds its data directory. */
export function isHeldByServer(error: unknown): error is PosthornError {
  return error instanceof PosthornError && / is in use by another Posthorn\./.test(error.message);
}

/** The same flags for another command. The URL may hold a password: whoever gave it has it. */
function flagsOf({ dataDir, databaseUrl, databaseSchema }: StoreFlags): string {
  const isDatabase = databaseUrl !== undefined || databaseSchema !== undefined;
  return [
    dataDir === undefined || isDatabase ? '' : ` --data-dir ${shellWord(dataDir)}`,
    databaseUrl === undefined ? '' : ' --database-url <the same>',
    databaseSchema === undefined ? '' : ` --database-schema ${databaseSchema}`,
  ].join('');
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
