import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { ApiFailure, CliFailure, describeFailure } from './failure.ts';
import { createProgram } from './program.ts';
import { printError } from './terminal.ts';

/**
 * Runs one command line (`['dev', '--port', '0']`). Resolves to the exit code: 0 it worked, 1 it failed, 2 it was
 * written wrongly, 130 it was interrupted. Never rejects: what went wrong is on standard error.
 */
export async function main(argv: string[]): Promise<number> {
  // `posthorn deliveries list | head` closes the pipe when it has enough: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  let exitCode = 0;
  try {
    await createProgram((code) => (exitCode = code)).parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has said what is wrong already; asked for help or the version, it ends with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof ApiFailure && argv.includes('--json')) printError(JSON.stringify(error.problem));
    else printError(`posthorn: ${describeFailure(error)}`);
    return error instanceof CliFailure ? error.exitCode : 1;
  }
}

/** Whether this file was started itself, also through a link, rather than imported; Node 22 has no `import.meta.main`. */
function isEntryFile(): boolean {
  const entry = process.argv[1];
  if (entry === undefined) return false;
  try {
    return realpathSync(entry) === realpathSync(fileURLToPath(import.meta.url));
  } catch {
    return false;
  }
}

if (isEntryFile()) process.exitCode = await main(process.argv.slice(2));
