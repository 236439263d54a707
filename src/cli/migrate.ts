import type { Command } from 'commander';
import { configOf, withSettings } from './setting-options.ts';
import { count, print, printJson } from './terminal.ts';

export function addMigrate(program: Command): void {
  const command = program
    .command('migrate')
    .summary('bring the store up to date')
    .description(
      'Applies the migrations that the store of a stopped server lacks; makes the store where there is none.',
    )
    .option('--dry-run', 'only list them')
    .option('--json', 'print the answer as JSON');
  withSettings(command, 'serve', ['dataDir', 'masterKey', 'masterKeyFile'])
    .addHelpText(
      'after',
      `
Examples:
  posthorn migrate
  posthorn migrate --dry-run
  posthorn migrate --data-dir /var/lib/posthorn --json`,
    )
    .action(async (options: Record<string, unknown>) => {
      const config = await configOf('serve', options);
      const dryRun = options.dryRun === true;
      const { createPosthornServer, pendingMigrations } = await import('../posthorn.ts');
      const migrations = pendingMigrations(config.dataDir);
      if (!dryRun && migrations.length > 0) {
        const { store } = createPosthornServer({ ...config, logLevel: 'silent' });
        try {
          await store.open({ migrate: true, now: Date.now() });
        } finally {
          await store.close();
        }
      }
      if (options.json === true) return printJson({ dataDir: config.dataDir, applied: !dryRun, migrations });
      if (migrations.length === 0) return print(`${config.dataDir} is up to date.`);
      const what = count(migrations.length, 'migration');
      print(dryRun ? `${config.dataDir} lacks ${what}:` : `Applied ${what} to ${config.dataDir}:`);
      for (const name of migrations) print(`  ${name}`);
    });
}
