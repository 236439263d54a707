import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

export function createEventTypes({ db, read, change }: RecordDriver): Store['eventTypes'] {
  return {
    async all() {
      const rows = await read(db.selectFrom('event_types').selectAll().orderBy('name'));
      return rows.map((row) => ({
        name: row.name,
        description: row.description,
        schema: row.json_schema === null ? null : (JSON.parse(row.json_schema) as object),
        examples: JSON.parse(row.examples) as unknown[],
        isArchived: row.is_archived === 1,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
      }));
    },
    async put(type) {
      const row = {
        description: type.description,
        json_schema: type.schema === null ? null : JSON.stringify(type.schema),
        examples: JSON.stringify(type.examples),
        is_archived: type.isArchived ? 1 : 0,
        updated_at: type.updatedAt,
      };
      await change([
        db
          .insertInto('event_types')
          .values({ name: type.name, created_at: type.createdAt, ...row })
          .onConflict((conflict) => conflict.column('name').doUpdateSet(row)),
      ]);
    },
    async remove(name) {
      await change([db.deleteFrom('event_types').where('name', '=', name)]);
    },
  };
}
