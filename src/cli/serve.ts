import { join } from 'node:path';
import type { Command } from 'commander';
import type { SetExitCode } from './program.ts';
import { runServer } from './run-server.ts';
import { configOf, withSettings } from './setting-options.ts';
import { explainStoreFailure } from './store-failure.ts';

export function addServe(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('serve')
    .summary('run Posthorn in production')
    .description(
      'Runs Posthorn in production: https endpoints on public addresses only, keys made with `posthorn keys create`, ' +
        'log as JSON lines on standard output.',
    );
  withSettings(command, 'serve')
    .addHelpText(
      'after',
      `
Examples:
  posthorn migrate && posthorn serve --host 0.0.0.0
  POSTHORN_DATABASE_URL=postgres://posthorn@db.internal/posthorn posthorn serve --role deliver
  POSTHORN_MASTER_KEY_FILE=/run/secrets/master-key posthorn serve --data-dir /var/lib/posthorn
  posthorn serve --allow-cidrs 10.1.0.0/16 --allow-http`,
    )
    .action(async (options: Record<string, unknown>) => {
      const config = await configOf('serve', options);
      const [{ createPosthornServer }, { createLogger }] = await Promise.all([
        import('../posthorn.ts'),
        import('./logger.ts'),
      ]);
      const logger = createLogger(config);
      const server = createPosthornServer(config, { logger });
      const ending = runServer(server, ({ keyFileCreated }) => {
        if (keyFileCreated) {
          logger.warn(
            { file: join(config.dataDir, 'master.key') },
            'master_key.created: signing secrets are sealed with this file; keep a copy of it apart from the data',
          );
        }
      });
      try {
        setExitCode(await ending);
      } catch (error) {
        throw explainStoreFailure(error, options);
      }
    });
}
