import type { PlanFeature } from '../../model/tenant.ts';
import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

export function createPlans({ db, read, change }: RecordDriver): Store['plans'] {
  return {
    async all() {
      const rows = await read(db.selectFrom('plans').selectAll().orderBy('name'));
      return rows.map((row) => ({
        name: row.name,
        endpointLimit: row.endpoint_limit,
        eventsPerDay: row.events_per_day,
        retentionDays: row.retention_days,
        features: JSON.parse(row.features) as PlanFeature[],
        isDefault: row.is_default === 1,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
      }));
    },
    async put(plan) {
      const row = {
        endpoint_limit: plan.endpointLimit,
        events_per_day: plan.eventsPerDay,
        retention_days: plan.retentionDays,
        features: JSON.stringify(plan.features),
        is_default: plan.isDefault ? 1 : 0,
        updated_at: plan.updatedAt,
      };
      const store = db
        .insertInto('plans')
        .values({ name: plan.name, created_at: plan.createdAt, ...row })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(row));
      const others = db.updateTable('plans').set({ is_default: 0 }).where('is_default', '=', 1);
      await change(plan.isDefault ? [others.where('name', '!=', plan.name), store] : [store]);
    },
    async remove(name) {
      await change([db.deleteFrom('plans').where('name', '=', name)]);
    },
  };
}
