import type { Selectable } from 'kysely';
import type { Tenant } from '../../model/tenant.ts';
import type { RecordChange, Store } from '../store.ts';
import { absence } from './absence.ts';
import type { RecordDriver } from './driver.ts';
import { planTurn } from './plans.ts';
import type { Tables } from './tables.ts';

export function createTenants({ db, read, changeUnless }: RecordDriver): Store['tenants'] {
  const tell = (id: string): RecordChange[] => [{ kind: 'tenant', tenantId: id, key: id }];
  /** Finds a row where there is no such plan. */
  const missing = (plan: string) => absence(db, db.selectFrom('plans').select('name').where('name', '=', plan));

  return {
    async all() {
      return (await read(db.selectFrom('tenants').selectAll().orderBy('id'))).map(toTenant);
    },
    async get(id) {
      const [row] = await read(db.selectFrom('tenants').selectAll().where('id', '=', id));
      return row ? toTenant(row) : null;
    },
    async create({ id, name, wireFormat, plan, createdAt }) {
      const row = { id, name, wire_format: text(wireFormat), plan, created_at: createdAt };
      const present = db.selectFrom('tenants').select('id').where('id', '=', id);
      const objection = await changeUnless(
        plan === null ? [present] : [present, missing(plan)],
        [db.insertInto('tenants').values(row)],
        { tell: tell(id), inTurn: [`tenant:${id}`, ...(plan === null ? [] : [planTurn(plan)])] },
      );
      if (objection === null) return 'done';
      return objection.index === 0 ? 'present' : 'no_plan';
    },
    async update(id, { name, wireFormat, plan }) {
      const row = {
        ...(name === undefined ? {} : { name }),
        ...(wireFormat === undefined ? {} : { wire_format: text(wireFormat) }),
        ...(plan === undefined ? {} : { plan }),
      };
      if (Object.keys(row).length === 0) return 'done';
      const objection = await changeUnless(
        plan == null ? [] : [missing(plan)],
        [db.updateTable('tenants').set(row).where('id', '=', id)],
        { tell: tell(id), inTurn: plan == null ? [] : [planTurn(plan)] },
      );
      return objection === null ? 'done' : 'no_plan';
    },
  };
}

function text(wireFormat: string | object | null): string | null {
  return wireFormat === null ? null : JSON.stringify(wireFormat);
}

function toTenant({ id, name, wire_format, plan, created_at }: Selectable<Tables['tenants']>): Tenant {
  return {
    id,
    name,
    wireFormat: wire_format === null ? null : (JSON.parse(wire_format) as string | object),
    plan,
    createdAt: created_at,
  };
}
