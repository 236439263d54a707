import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

export function createTenants({ db, read, change }: RecordDriver): Store['tenants'] {
  return {
    async all() {
      const rows = await read(db.selectFrom('tenants').selectAll().orderBy('id'));
      return rows.map(({ id, name, wire_format, plan, created_at }) => ({
        id,
        name,
        wireFormat: wire_format === null ? null : (JSON.parse(wire_format) as string | object),
        plan,
        createdAt: created_at,
      }));
    },
    async create({ id, name, wireFormat, plan, createdAt }) {
      const row = {
        id,
        name,
        wire_format: wireFormat === null ? null : JSON.stringify(wireFormat),
        plan,
        created_at: createdAt,
      };
      await change([
        db
          .insertInto('tenants')
          .values(row)
          .onConflict((conflict) => conflict.column('id').doNothing()),
      ]);
    },
    async update({ id, name, wireFormat, plan }) {
      const row = { name, wire_format: wireFormat === null ? null : JSON.stringify(wireFormat), plan };
      await change([db.updateTable('tenants').set(row).where('id', '=', id)]);
    },
  };
}
