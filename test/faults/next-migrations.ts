import { createHash } from 'node:crypto';
import { migrations as current } from '../../src/store/postgres/migrations/index.ts';
import type { Migration } from '../../src/store/postgres/migrations/index.ts';

const number = current.at(-1)!.number + 1;
/** The expanding half of a change: what it adds, the code before it need not know. */
const sql = `
ALTER TABLE posthorn.events ADD COLUMN next_release text;
ALTER TABLE posthorn.open_deliveries ADD COLUMN next_release bigint NOT NULL DEFAULT 0;
CREATE TABLE posthorn.next_release (tenant_id text COLLATE "C" NOT NULL, id bigint NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE INDEX open_deliveries_next_release ON posthorn.open_deliveries (tenant_id, next_release);
`;

/** The migrations of a release that does not exist: today's and one more. */
export const migrations: readonly Migration[] = [
  ...current,
  {
    number,
    name: 'next-release',
    sql,
    compatibleFrom: number - 1,
    checksum: createHash('sha256').update(sql).digest('hex'),
  },
];
