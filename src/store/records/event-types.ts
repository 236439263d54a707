import type { Selectable } from 'kysely';
import type { EventType } from '../../model/tenant.ts';
import type { RecordChange, Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';
import type { Tables } from './tables.ts';

export function createEventTypes({ db, read, change }: RecordDriver): Store['eventTypes'] {
  const tell = (name: string): RecordChange[] => [{ kind: 'event_type', tenantId: '', key: name }];
  return {
    async all() {
      return (await read(db.selectFrom('event_types').selectAll().orderBy('name'))).map(toEventType);
    },
    async get(name) {
      const [row] = await read(db.selectFrom('event_types').selectAll().where('name', '=', name));
      return row ? toEventType(row) : null;
    },
    async put(type) {
      const row = {
        description: type.description,
        json_schema: type.schema === null ? null : JSON.stringify(type.schema),
        examples: JSON.stringify(type.examples),
        is_archived: type.isArchived ? 1 : 0,
        updated_at: type.updatedAt,
      };
      const query = db
        .insertInto('event_types')
        .values({ name: type.name, created_at: type.createdAt, ...row })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(row));
      await change([query], { tell: tell(type.name) });
    },
    async remove(name) {
      await change([db.deleteFrom('event_types').where('name', '=', name)], { tell: tell(name) });
    },
  };
}

function toEventType(row: Selectable<Tables['event_types']>): EventType {
  return {
    name: row.name,
    description: row.description,
    schema: row.json_schema === null ? null : (JSON.parse(row.json_schema) as object),
    examples: JSON.parse(row.examples) as unknown[],
    isArchived: row.is_archived === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
