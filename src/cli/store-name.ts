import type { Config } from '../config.ts';
import { databaseName } from '../config/database-url.ts';

/** Where everything is kept, for people: the data directory, or the database, without its password. */
export function storeName({ dataDir, databaseUrl }: Pick<Config, 'dataDir' | 'databaseUrl'>): string {
  return databaseUrl === null ? dataDir : databaseName(databaseUrl);
}
