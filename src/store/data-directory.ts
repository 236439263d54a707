import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { PosthornError } from '../errors.ts';

/**
 * Makes the data directory where it is missing, for this user alone.
 * @throws PosthornError `STORE_UNAVAILABLE` with the path and the remedy, where it cannot be made or written
 */
export function prepareDataDir(dataDir: string): void {
  try {
    makeDirectory(dataDir);
    if (!statSync(dataDir).isDirectory()) throw Object.assign(new Error('it is a file'), { code: 'ENOTDIR' });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') {
      const remedy = 'choose another with POSTHORN_DATA_DIR or --data-dir';
      throw new PosthornError('STORE_UNAVAILABLE', `${dataDir} is not a directory; ${remedy}`, { cause });
    }
    throw new PosthornError(
      'STORE_UNAVAILABLE',
      `Cannot write to the data directory ${dataDir} (${code ?? message}). Give this user the right to write there, or choose another with POSTHORN_DATA_DIR or --data-dir.`,
      { cause },
    );
  }
}

/** Step by step: Node's own recursion never ends where the system says ENOENT below a directory that exists (/proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
