import type { Command } from 'commander';
import type { SettingKey } from '../config/settings.ts';
import { configOf, withSettings } from './setting-options.ts';
import { storeName } from './store-name.ts';
import { count, print, printJson } from './terminal.ts';

const storeSettings: readonly SettingKey[] = [
  ...(['dataDir', 'databaseUrl', 'databaseSchema', 'masterKey', 'masterKeyFile'] as const),
];

export function addMigrate(program: Command): void {
  const command = program
    .command('migrate')
    .summary('bring the store up to date')
    .description(
      'Applies the migrations that the store lacks; makes the store where there is none. The embedded store’s server must ' +
        'be stopped; the nodes on a PostgreSQL database go on.',
    )
    .option('--dry-run', 'only list them')
    .option('--json', 'print the answer as JSON');
  withSettings(command, 'serve', storeSettings)
    .addHelpText(
      'after',
      `
Examples:
  posthorn migrate
  posthorn migrate --dry-run
  posthorn migrate --data-dir /var/lib/posthorn --json
  POSTHORN_DATABASE_URL=postgres://posthorn_owner@db.internal/posthorn posthorn migrate`,
    )
    .action(async (options: Record<string, unknown>) => {
      const config = await configOf('serve', options, storeSettings);
      const dryRun = options.dryRun === true;
      const { migrateStore } = await import('../posthorn.ts');
      const migrations = await migrateStore(config, { dryRun });
      if (options.json === true) {
        const { dataDir, databaseUrl, databaseSchema } = config;
        const place = databaseUrl === null ? { dataDir } : { database: storeName(config), schema: databaseSchema };
        return printJson({ ...place, applied: !dryRun, migrations });
      }
      const store = storeName(config);
      if (migrations.length === 0) return print(`${store} is up to date.`);
      const what = count(migrations.length, 'migration');
      print(dryRun ? `${store} lacks ${what}:` : `Applied ${what} to ${store}:`);
      for (const name of migrations) print(`  ${name}`);
    });
}
