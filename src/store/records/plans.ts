import type { PlanFeature } from '../../model/tenant.ts';
import type { RecordChange, Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

/** Under which a plan is given to tenants, and taken away: one after the other. */
export function planTurn(name: string): string {
  return `plan:${name}`;
}

export function createPlans({ db, read, change, changeUnless }: RecordDriver): Store['plans'] {
  const tell = (name: string): RecordChange[] => [{ kind: 'plan', tenantId: '', key: name }];
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
      await change(plan.isDefault ? [others.where('name', '!=', plan.name), store] : [store], {
        tell: tell(plan.name),
        inTurn: plan.isDefault ? ['plans', planTurn(plan.name)] : [planTurn(plan.name)],
      });
    },
    async remove(name) {
      const objection = await changeUnless(
        [db.selectFrom('tenants').select('id').where('plan', '=', name).limit(1)],
        [db.deleteFrom('plans').where('name', '=', name)],
        { tell: tell(name), inTurn: [planTurn(name)] },
      );
      return objection === null;
    },
  };
}
