import { sql } from 'kysely';
import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';
import { toEvent } from './event-row.ts';
import { createdBetween, createdFrom } from './created-between.ts';

export function createEvents({
  db,
  read,
  eventsWithData,
}: RecordDriver): Store['events'] & Pick<Store, 'unfinishedFanOuts'> {
  return {
    async get(tenantId, id) {
      const [row] = await read(
        db.selectFrom(eventsWithData).selectAll().where('tenant_id', '=', tenantId).where('id', '=', id),
      );
      return row ? toEvent(row) : null;
    },

    async findOwnId(tenantId, dedupeKey) {
      const [row] = await read(
        db.selectFrom('dedupe').select('event_id').where('tenant_id', '=', tenantId).where('key', '=', dedupeKey),
      );
      return row?.event_id ?? null;
    },

    async list({ tenantId, type, group, from, to }, { limit, before, offset }) {
      let query = db.selectFrom(eventsWithData).selectAll().where('tenant_id', '=', tenantId);
      if (type !== undefined) query = query.where('type', '=', type);
      if (group !== undefined) query = query.where('group_key', '=', group);
      if (before !== null) query = query.where('id', '<', before);
      query = query.where(createdBetween('id', 'created_at', from, to));
      const rows = await read(
        query
          .orderBy('id', 'desc')
          .limit(limit)
          .offset(offset ?? 0),
      );
      return rows.map(toEvent);
    },

    async count(tenantId, from, limit) {
      const found = db
        .selectFrom('events')
        .select(sql.lit(1).as('one'))
        .where('tenant_id', '=', tenantId)
        .where(createdFrom('id', 'created_at', from))
        .limit(limit)
        .as('found');
      const [row] = await read(db.selectFrom(found).select((select) => select.fn.countAll<number>().as('count')));
      return Number(row!.count);
    },

    async unfinishedFanOuts(limit) {
      const rows = await read(
        db.selectFrom(eventsWithData).selectAll().where('fan_out_after', 'is not', null).orderBy('id').limit(limit),
      );
      return rows.map((row) => ({ event: toEvent(row), after: row.fan_out_after! }));
    },
  };
}
