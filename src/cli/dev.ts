import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { SetExitCode } from './program.ts';
import { runServer } from './run-server.ts';
import { configOf, withSettings } from './setting-options.ts';
import { storeName } from './store-name.ts';
import { print } from './terminal.ts';

export function addDev(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('dev')
    .summary('run Posthorn on this machine, for development')
    .description(
      'Runs Posthorn for development: embedded store unless a database is named, a known API key, http and local endpoints allowed.',
    )
    .option('--json', 'when ready, print address, key and data directory as one line of JSON');
  withSettings(command, 'dev')
    .addHelpText(
      'after',
      `
Examples:
  posthorn dev
  posthorn dev --port 4000 --data-dir /tmp/posthorn
  posthorn dev --retry-schedule 1s,5s --log-level debug`,
    )
    .action(async (options: Record<string, unknown>) => {
      const config = await configOf('dev', options);
      const dataIsNew = config.databaseUrl === null && !existsSync(config.dataDir);
      const [{ createPosthornServer }, { createLogger }, { renderBanner }] = await Promise.all([
        import('../posthorn.ts'),
        import('./logger.ts'),
        import('./banner.ts'),
      ]);
      const server = createPosthornServer(config, { logger: createLogger(config) });
      const exitCode = await runServer(server, ({ address }) => {
        if (options.json === true) {
          const { operatorKey, dataDir, databaseUrl } = config;
          const place = databaseUrl === null ? { dataDir, dataIsNew } : { database: storeName(config) };
          print(JSON.stringify({ address, apiKey: operatorKey, ...place }));
        } else {
          print(renderBanner(config, address, dataIsNew));
        }
      });
      setExitCode(exitCode);
    });
}
