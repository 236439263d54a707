import { PosthornError } from '../errors.ts';
import { CliFailure } from './failure.ts';

/**
 * Why a store of a data directory did not open, in the words of the command line. The store tells these cases apart in
 * its message alone; other errors come back as they are.
 * @param dataDir as it was given with --data-dir; undefined where it came from elsewhere
 */
export function explainStoreFailure(error: unknown, dataDir: string | undefined): unknown {
  if (!(error instanceof PosthornError) || error.code !== 'STORE_UNAVAILABLE') return error;
  const lacking = /^(The store in .+) needs (\d+) migration/.exec(error.message);
  if (lacking === null) return error;
  const [, store, number] = lacking;
  const what = number === '1' ? '1 migration' : `${number} migrations`;
  const command = `posthorn migrate${dataDir === undefined ? '' : ` --data-dir ${shellWord(dataDir)}`}`;
  return new CliFailure(`${store} needs ${what}: run \`${command}\` with the same settings first.`, 1, error);
}

/** Whether the store did not open because a running server holds its data directory. */
export function isHeldByServer(error: unknown): error is PosthornError {
  return error instanceof PosthornError && / is in use by another Posthorn\./.test(error.message);
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
