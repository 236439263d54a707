import type { Selectable } from 'kysely';
import type { Id } from '../../model/id.ts';
import type { Member } from '../../model/tenant.ts';
import type { RecordChange, Store } from '../store.ts';
import { absence } from './absence.ts';
import type { RecordDriver } from './driver.ts';
import type { Tables } from './tables.ts';

export function createMembers({ db, read, change, changeUnless }: RecordDriver): Store['members'] {
  const tell = (tenantId: string, id: Id): RecordChange[] => [{ kind: 'member', tenantId, key: id }];
  /** Changes of one tenant's members go one after the other: two owners cannot demote each other at once. */
  const inTurn = (tenantId: string): string[] => [`members:${tenantId}`];
  const member = (tenantId: string, id: Id) =>
    db.selectFrom('members').select('id').where('tenant_id', '=', tenantId).where('id', '=', id);
  /** Finds a row where this member is the only owner. */
  const onlyOwner = (tenantId: string, id: Id) => {
    const owners = db.selectFrom('members').select('id').where('tenant_id', '=', tenantId).where('role', '=', 'owner');
    return member(tenantId, id)
      .where('role', '=', 'owner')
      .where((where) => where.not(where.exists(owners.where('id', '!=', id))));
  };

  return {
    async all() {
      return (await read(db.selectFrom('members').selectAll().orderBy('tenant_id').orderBy('id'))).map(toMember);
    },
    async get(tenantId, id) {
      const [row] = await read(
        db.selectFrom('members').selectAll().where('tenant_id', '=', tenantId).where('id', '=', id),
      );
      return row ? toMember(row) : null;
    },
    async create({ id, tenantId, name, email, role, createdAt, updatedAt }) {
      const query = db
        .insertInto('members')
        .values({ tenant_id: tenantId, id, name, email, role, created_at: createdAt, updated_at: updatedAt })
        .onConflict((conflict) => conflict.columns(['tenant_id', 'email']).where('email', 'is not', null).doNothing());
      const [created] = await change([query], { tell: tell(tenantId, id), inTurn: inTurn(tenantId) });
      return created === 1;
    },
    async update({ id, tenantId, name, email, role, updatedAt }, ifUpdatedAt) {
      const isStale = absence(db, member(tenantId, id).where('updated_at', '=', ifUpdatedAt));
      const objection = await changeUnless(
        role === 'owner' ? [isStale] : [isStale, onlyOwner(tenantId, id)],
        [
          db
            .updateTable('members')
            .set({ name, email, role, updated_at: updatedAt })
            .where('tenant_id', '=', tenantId)
            .where('id', '=', id),
        ],
        { tell: tell(tenantId, id), inTurn: inTurn(tenantId) },
      );
      if (objection === null) return 'done';
      return objection.index === 0 ? 'stale' : 'last_owner';
    },
    async remove(tenantId, id, now) {
      const objection = await changeUnless(
        [onlyOwner(tenantId, id)],
        [
          db.deleteFrom('members').where('tenant_id', '=', tenantId).where('id', '=', id),
          db.deleteFrom('member_sessions').where('tenant_id', '=', tenantId).where('member_id', '=', id),
          db
            .updateTable('api_keys')
            .set({ revoked_at: now })
            .where('tenant_id', '=', tenantId)
            .where('member_id', '=', id)
            .where('revoked_at', 'is', null),
        ],
        // Whoever hears that the member is gone ends sessions and keys by itself.
        { tell: tell(tenantId, id), inTurn: inTurn(tenantId) },
      );
      return objection === null ? 'done' : 'last_owner';
    },
  };
}

function toMember(row: Selectable<Tables['members']>): Member {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    name: row.name,
    email: row.email,
    role: row.role,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
