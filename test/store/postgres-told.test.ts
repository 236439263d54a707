import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { tellStatements } from '../../src/store/postgres/change-feed.ts';
import { forgetExpired } from '../../src/store/postgres/expired-rows.ts';
import { channelOf, noticeStatement } from '../../src/store/postgres/notices.ts';
import { describeNodes, endpoint, keysHeard, tell, until } from './postgres-nodes.ts';

const HOUR_MS = 3_600_000;

describeNodes('what nodes tell each other', (rig) => {
  const { itOnce, start, sql } = rig;

  describe('the feed of changes', () => {
    it('reaches every other node in milliseconds, and not the one that made them', async () => {
      const [a, b] = [await start(), await start()];
      const from = performance.now();
      await tell(a, [endpoint('wh_1'), { kind: 'plan', tenantId: '', key: 'pro' }]);
      await until(() => b.count('recordsChanged') > 0, 1_000);
      expect(performance.now() - from).toBeLessThan(400);
      expect(b.words.filter(({ what }) => what === 'recordsChanged')).toEqual([
        { what: 'recordsChanged', changes: [endpoint('wh_1'), { kind: 'plan', tenantId: '', key: 'pro' }] },
      ]);
      await b.nodes.catchUp();
      await a.nodes.catchUp();
      expect(a.count('recordsChanged')).toBe(0);
    });

    it('has told everything that was committed before, once a node has caught up', async () => {
      const [a, b] = [await start({ isDeaf: 'unreachable' }), await start({ isDeaf: 'unreachable' })];
      for (let i = 0; i < 20; i++) {
        await tell(a, [endpoint(`wh_${i}`)]);
        await b.nodes.catchUp();
        expect(keysHeard(b)).toHaveLength(i + 1);
      }
    });

    it('misses nothing and tells nothing twice, with transactions that commit out of order', async () => {
      const reader = await start();
      const deaf = await start({ isDeaf: 'unreachable' });
      const told: string[] = [];
      const writer = async (w: number): Promise<void> => {
        const client = new pg.Client({ connectionString: rig.database.url });
        await client.connect();
        for (let i = 0; i < 40; i++) {
          await client.query('BEGIN');
          for (const part of ['a', 'b']) {
            const key = `${w}-${i}-${part}`;
            const [statement] = tellStatements(0, [endpoint(key)]);
            await client.query(reader.connections.inSchema(statement!.sql), [...statement!.parameters]);
            if (i % 5 !== 4) told.push(key);
            // Others overtake it here: it has a number, and is not visible yet.
            await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
          }
          await client.query(i % 5 === 4 ? 'ROLLBACK' : 'COMMIT');
        }
        await client.end();
      };
      await Promise.all(Array.from({ length: 8 }, (_, w) => writer(w)));
      for (const node of [reader, deaf]) {
        await node.nodes.catchUp();
        expect(keysHeard(node).sort()).toEqual([...told].sort());
      }
    });

    it('sees a change of a transaction that was open for long, and what others did meanwhile only once', async () => {
      const [a, b] = [await start(), await start()];
      const slow = new pg.Client({ connectionString: rig.database.url });
      await slow.connect();
      await slow.query('BEGIN');
      const [statement] = tellStatements(0, [endpoint('slow')]);
      await slow.query(b.connections.inSchema(statement!.sql), [...statement!.parameters]);
      for (let i = 0; i < 5; i++) {
        await tell(a, [endpoint(`quick_${i}`)]);
        await b.nodes.catchUp();
      }
      await slow.query('COMMIT');
      await slow.end();
      await until(() => keysHeard(b).includes('slow'), 1_000);
      expect(keysHeard(b)).toEqual(['quick_0', 'quick_1', 'quick_2', 'quick_3', 'quick_4', 'slow']);
    });

    it('says “everything” where there is more than is worth reading one by one', async () => {
      const [a, b] = [await start(), await start()];
      await tell(
        a,
        Array.from({ length: 10_001 }, (_, i) => endpoint(`wh_${i}`)),
      );
      await until(() => b.words.some((word) => word.what === 'recordsChanged' && word.changes === 'everything'));
      expect(keysHeard(b)).toEqual([]);
    });
  });

  describe('the connection that listens', () => {
    const listeners = (): Promise<{ pid: number }[]> =>
      sql(`SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`);

    itOnce('comes back after it was killed, and nothing is late by a second meanwhile', async () => {
      const [a, b] = [await start(), await start()];
      await until(async () => (await listeners()).length === 2);
      for (let i = 0; i < 3; i++) {
        const before = await listeners();
        await sql(`SELECT ${before.map(({ pid }) => `pg_terminate_backend(${pid})`).join(', ')}`);
        const from = performance.now();
        await tell(a, [endpoint(`wh_${i}`)]);
        await until(() => keysHeard(b).includes(`wh_${i}`), 1_000);
        expect(performance.now() - from).toBeLessThan(1_000);
        const pids = before.map(({ pid }) => pid);
        await until(async () => (await listeners()).filter(({ pid }) => !pids.includes(pid)).length === 2);
      }
    });

    itOnce('is a hint only: a node that never hears anything is late by less than a second', async () => {
      const a = await start();
      const b = await start({ isDeaf: 'unreachable' });
      await tell(a, [endpoint('wh_1')]);
      const from = performance.now();
      await until(() => keysHeard(b).includes('wh_1'), 1_000);
      await a.nodes.pause('acme', 'wh_2', a.nodes.now() + 60_000);
      await until(() => b.count('endpointPaused') > 0, 1_000);
      // A newcomer is seen without it, too.
      await start({ leaseMs: 30_000 });
      await until(() => b.nodes.place().count === 3, 1_000);
      expect(performance.now() - from).toBeLessThan(3_500);
    });

    itOnce.each(['unreachable', 'unheard'] as const)(
      'that is missing (%s) makes a node look for itself, where others leave their work to it',
      async (isDeaf) => {
        const deaf = await start({ isDeaf });
        const hearing = await start();
        await start({ delivers: false });
        await until(() => deaf.count('orphansFound') > 1, 5_000);
        expect(hearing.count('orphansFound')).toBe(0);
      },
    );

    it('brings the hints that deliveries are due and that the outbox has rows', async () => {
      const node = await start();
      let calls = 0;
      const end = node.nodes.onOutbox(() => calls++);
      await until(async () => (await listeners()).length === 1);
      await until(async () => {
        await node.connections.query(noticeStatement('outbox'));
        return calls > 0;
      });
      end();
      const before = { calls, orphans: node.count('orphansFound') };
      await node.connections.query(noticeStatement('due'));
      await until(() => node.count('orphansFound') > before.orphans, 1_000);
      await node.connections.query(noticeStatement('outbox'));
      await tell(await start(), [endpoint('behind it')]);
      await until(() => keysHeard(node).includes('behind it'));
      expect(calls).toBe(before.calls);
    });

    itOnce('has a channel for each schema, of a length that PostgreSQL takes', () => {
      expect(channelOf('posthorn')).toBe('posthorn_posthorn');
      expect(channelOf('x'.repeat(63))).toHaveLength(63);
    });
  });

  describe('pauses', () => {
    it('are told to the others, kept for those who start, and end', async () => {
      const [a, b] = [await start(), await start()];
      const later = a.nodes.now() + 60_000;
      await a.nodes.pause('acme', 'wh_1', later - 1);
      await a.nodes.pause('acme', 'wh_1', later);
      await a.nodes.pause('acme', 'wh_2', later);
      await a.nodes.pause('acme', 'wh_2', 0);
      await a.nodes.pause('acme', 'wh_3', a.nodes.now() - 1);
      await until(() => b.count('endpointPaused') === 5, 1_000);
      expect(b.words.filter(({ what }) => what === 'endpointPaused').slice(1, 4)).toEqual([
        { what: 'endpointPaused', tenantId: 'acme', endpointId: 'wh_1', until: later },
        { what: 'endpointPaused', tenantId: 'acme', endpointId: 'wh_2', until: later },
        { what: 'endpointPaused', tenantId: 'acme', endpointId: 'wh_2', until: 0 },
      ]);
      expect(await b.nodes.pauses()).toEqual([{ tenantId: 'acme', endpointId: 'wh_1', until: later }]);
      expect(a.count('endpointPaused')).toBe(0);
    });
  });

  describe('counters', () => {
    it('are summed over all nodes, and answered in the order asked', async () => {
      const [a, b] = [await start(), await start()];
      const minute = 60_000;
      const uses = (names: string[], add: number): { name: string; window: number; add: number }[] =>
        names.map((name) => ({ name, window: minute, add }));
      // In opposite orders, many at once: two nodes that wait for each other in a circle would fail.
      await Promise.all(
        Array.from({ length: 25 }, () => [
          a.nodes.count(uses(['x', 'y', 'z'], 1)),
          b.nodes.count(uses(['z', 'y', 'x'], 2)),
        ]).flat(),
      );
      expect(await a.nodes.count([{ name: 'z', window: minute, add: 10 }, ...uses(['x'], 0)])).toEqual([85, 75]);
      expect(await b.nodes.count([...uses(['z'], 1), ...uses(['z'], 1), { name: 'z', window: 0, add: 3 }])).toEqual([
        87, 87, 3,
      ]);
      expect(await b.nodes.count([])).toEqual([]);
    });
  });

  it('forget what has expired, and nothing else', async () => {
    const node = await start();
    const now = node.nodes.now();
    const day = 24 * HOUR_MS;
    const today = now - (now % day);
    await sql(`
      INSERT INTO posthorn.changes (node, kind, tenant_id, key, made_at) VALUES
        (0, 'endpoint', 'acme', 'old', now() - interval '61 minutes'), (0, 'endpoint', 'acme', 'new', now());
      INSERT INTO posthorn.pauses VALUES ('acme', 'old', ${now - 1}), ('acme', 'new', ${now + 60_000});
      INSERT INTO posthorn.counters VALUES ('old', ${today - 3 * day}, 1), ('new', ${today - day}, 1),
        ('old', ${now - (now % 60_000) - 2 * HOUR_MS + (today === now ? 1 : 0)}, 1), ('new', ${now - (now % 60_000)}, 1);
      INSERT INTO posthorn.counters SELECT 'old', ${today - 3 * day} + n, 1 FROM generate_series(1, 6000) n;
      INSERT INTO posthorn.nodes (name, delivers, knows, lease_ms, ended_at) VALUES
        ('old', true, 1, 1, now() - interval '25 hours'), ('new', true, 1, 1, now())`);
    await forgetExpired(node.connections, now);
    const left = await sql(`
      SELECT key AS name FROM posthorn.changes WHERE kind = 'endpoint' UNION ALL SELECT endpoint_id FROM posthorn.pauses
      UNION ALL SELECT name FROM posthorn.counters UNION ALL SELECT name FROM posthorn.nodes`);
    expect(left.map(({ name }) => name as string).sort()).toEqual(['new', 'new', 'new', 'new', 'new', 'test']);
  });
});
