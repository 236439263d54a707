import type { Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

export function createMembers({ db, read, change }: RecordDriver): Store['members'] {
  return {
    async all() {
      const rows = await read(db.selectFrom('members').selectAll().orderBy('tenant_id').orderBy('id'));
      return rows.map((row) => ({
        id: row.id,
        tenantId: row.tenant_id,
        name: row.name,
        email: row.email,
        role: row.role,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
      }));
    },
    async create({ id, tenantId, name, email, role, createdAt, updatedAt }) {
      const [created] = await change([
        db
          .insertInto('members')
          .values({ tenant_id: tenantId, id, name, email, role, created_at: createdAt, updated_at: updatedAt })
          .onConflict((conflict) =>
            conflict.columns(['tenant_id', 'email']).where('email', 'is not', null).doNothing(),
          ),
      ]);
      return created === 1;
    },
    async update({ id, tenantId, name, email, role, updatedAt }) {
      await change([
        db
          .updateTable('members')
          .set({ name, email, role, updated_at: updatedAt })
          .where('tenant_id', '=', tenantId)
          .where('id', '=', id),
      ]);
    },
    async remove(tenantId, id, now) {
      await change([
        db.deleteFrom('members').where('tenant_id', '=', tenantId).where('id', '=', id),
        db.deleteFrom('member_sessions').where('tenant_id', '=', tenantId).where('member_id', '=', id),
        db
          .updateTable('api_keys')
          .set({ revoked_at: now })
          .where('tenant_id', '=', tenantId)
          .where('member_id', '=', id)
          .where('revoked_at', 'is', null),
      ]);
    },
  };
}
