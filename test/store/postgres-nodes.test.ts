import { describe, expect, it } from 'vitest';
import { describeNodes, endpoint, keysHeard, LEASE_MS, tell, until } from './postgres-nodes.ts';
import type { TestNode } from './postgres-nodes.ts';

const HOUR_MS = 3_600_000;

describeNodes('nodes that share a database', (rig) => {
  const { itOnce, make, start, sql, lease, held } = rig;

  describe('the lease', () => {
    it('is renewed under the same number, and dates by the database although this machine is two hours off', async () => {
      const node = await start({ wall: () => Date.now() + 2 * HOUR_MS });
      const { number } = node.nodes;
      const renewedAt = async (): Promise<number> =>
        (
          await sql<{ at: Date }>(`SELECT renewed_at AS at FROM posthorn.nodes WHERE number = ${number}`)
        )[0]!.at.getTime();
      const first = await renewedAt();
      await until(async () => (await renewedAt()) > first);
      expect(node.nodes.number).toBe(number);
      expect(node.nodes.isLeaseLive()).toBe(true);
      expect(node.nodes.place()).toEqual({ index: 0, count: 1 });
      // Server and test share a machine, so Date.now() is the database's clock.
      expect(Math.abs(node.nodes.now() - Date.now())).toBeLessThan(100);
      expect(node.words).toEqual([]);
    });

    itOnce('is live by the monotonic clock for two thirds of its length, and again once it is renewed', async () => {
      let ahead = 0;
      const node = await start({ monotonic: () => performance.now() + ahead });
      ahead = LEASE_MS; // the process was stopped, and goes on
      expect(node.nodes.isLeaseLive()).toBe(false);
      await until(() => node.nodes.isLeaseLive());
      // Nobody took over meanwhile, so nothing is lost; and whoever held back is told to go on.
      expect(node.words).toEqual([{ what: 'placeChanged' }]);
    });

    it('survives a database that goes away for less than the lease, and reads everything anew', async () => {
      const node = await start({ leaseMs: 20_000 });
      const other = await start({ leaseMs: 20_000 });
      const numbers = [node.nodes.number, other.nodes.number];
      await lease(node.nodes.number, 3);
      await rig.server.stopImmediate();
      // Whatever is asked of it meanwhile comes to an end, and it lives.
      await expect(node.nodes.count([{ name: 'n', window: 0, add: 1 }])).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
      });
      await expect(node.nodes.catchUp()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await node.nodes.pause('acme', 'wh_1', 1);
      await rig.server.start();
      await until(() => node.count('recordsChanged') > 0 && other.count('recordsChanged') > 0);
      expect(node.words.find(({ what }) => what === 'recordsChanged')).toMatchObject({ changes: 'everything' });
      await tell(other, [endpoint('after')]);
      await until(() => keysHeard(node).includes('after'));
      expect([node.nodes.number, other.nodes.number]).toEqual(numbers);
      expect(node.count('leasesLost')).toBe(0);
      expect(await held()).toBe(3);
      expect(node.faults.length).toBeGreaterThan(0);
    });

    itOnce(
      'is not taken from nodes that were cut off from the database as long as the one that could take it',
      async () => {
        const leaseMs = 2 * LEASE_MS;
        const nodes = [await start({ leaseMs }), await start({ leaseMs }), await start({ leaseMs })];
        const numbers = nodes.map(({ nodes: { number } }) => number);
        for (const number of numbers) await lease(number, 2, `whd_${number}_`);
        for (const { connections } of nodes) connections.isCut = true;
        await until(async () => {
          const [row] = await sql<{ n: number }>(
            `SELECT count(*)::int AS n FROM posthorn.nodes WHERE renewed_at + interval '${leaseMs} ms' < clock_timestamp()`,
          );
          return row!.n === 3;
        });
        expect(nodes.map((node) => node.nodes.isLeaseLive())).toEqual([false, false, false]);
        // One is back a moment before the others, and sees that their leases ran out.
        nodes[0]!.connections.isCut = false;
        await until(() => nodes[0]!.nodes.isLeaseLive());
        for (const { connections } of nodes) connections.isCut = false;
        await until(() => nodes.every((node) => node.nodes.isLeaseLive()));
        expect(nodes.map(({ nodes: { number } }) => number)).toEqual(numbers);
        expect(await held()).toBe(6);
      },
    );

    it('cannot run out in the first third of its length after the database came up', async () => {
      await rig.server.stopFast();
      await rig.server.start();
      await sql(`INSERT INTO posthorn.nodes (name, delivers, knows, lease_ms, renewed_at) VALUES
        ('may still come', false, 1, 60000, now() - interval '1 hour'), ('is late', false, 1, 3, now() - interval '1 hour')`);
      await start();
      const ended = (): Promise<{ name: string }[]> =>
        sql('SELECT name FROM posthorn.nodes WHERE ended_at IS NOT NULL');
      await until(async () => (await ended()).length > 0);
      expect(await ended()).toEqual([{ name: 'is late' }]);
    });

    it('of a node that vanished is taken over within a lease, and every other node hears of it', async () => {
      const gone = await start();
      const others = [await start(), await start(), await start({ delivers: false })];
      await until(() => others.every((node) => node.nodes.place().count === 3));
      await lease(gone.nodes.number, 10_500);
      await sql(`INSERT INTO posthorn.events
                   (tenant_id, id, type, occurred_at, created_at, fan_out_after, fan_out_node)
                 VALUES ('acme', 'evt_1', 't', 0, 0, 'wh_1', ${gone.nodes.number})`);
      await gone.vanish();
      await until(() => others.every((node) => node.count('orphansFound') > 0));
      await until(async () => (await held()) === 0);
      const [row] = await sql<{ ms: number }>(`
        SELECT extract(epoch FROM ended_at - renewed_at)::float8 * 1000 AS ms FROM posthorn.nodes
        WHERE number = ${gone.nodes.number}`);
      expect(row!.ms).toBeGreaterThan(LEASE_MS);
      expect(row!.ms).toBeLessThan(LEASE_MS + 500);
      expect(await sql(`SELECT fan_out_node FROM posthorn.events`)).toEqual([{ fan_out_node: null }]);
      const [due] = await sql<{ low: string; high: string }>(
        `SELECT min(due_at) AS low, max(due_at) AS high FROM posthorn.open_deliveries WHERE status = 'pending'`,
      );
      expect(Number(due!.low)).toBeGreaterThan(Date.now() - 5_000);
      expect(Number(due!.high)).toBeLessThanOrEqual(Date.now());
      await until(() => others.every((node) => node.nodes.place().count === 2));
      expect(others.map((node) => node.nodes.place().index).slice(0, 2)).toEqual([0, 1]);
      expect(others.map((node) => node.count('leasesLost'))).toEqual([0, 0, 0]);
    });

    it('has nothing stranded behind it where whoever took over died half way', async () => {
      await sql(
        `INSERT INTO posthorn.nodes (name, delivers, knows, lease_ms, ended_at) VALUES ('ended', true, 1, 1000, now())`,
      );
      await lease(1, 3);
      await lease(7_777, 2, 'whd_of_a_node_that_was_never_there');
      const node = await start();
      await until(async () => (await held()) === 0);
      await until(() => node.count('orphansFound') > 0);
      // Later too: the oldest node goes on looking.
      expect(node.nodes.isLeaseLive()).toBe(true);
    });

    it('that somebody ended is lost: there is a new number, and what was held is given back before that is told', async () => {
      const node = await start();
      const other = await start();
      await until(() => node.nodes.place().count === 2);
      const old = node.nodes.number;
      await lease(old, 3);
      let atThatMoment: unknown;
      const heldThen: Promise<number>[] = [];
      node.onWord = ({ what }) => {
        if (what !== 'leasesLost') return;
        atThatMoment = { isLive: node.nodes.isLeaseLive(), isOld: node.nodes.number === old };
        heldThen.push(held());
      };
      await sql(`UPDATE posthorn.nodes SET ended_at = now() WHERE number = ${old}`);
      await until(() => node.count('leasesLost') === 1);
      expect(atThatMoment).toEqual({ isLive: true, isOld: false });
      expect(await Promise.all(heldThen)).toEqual([0]);
      expect(node.nodes.place()).toEqual({ index: 1, count: 2 });
      await until(() => other.nodes.place().index === 0 && other.count('orphansFound') > 0);
      // What a transaction that was under way then stored under the old number is given back, too.
      await lease(old, 2, 'late');
      await until(async () => (await held()) === 0);
      expect(node.count('leasesLost')).toBe(1);
      expect(node.faults).toEqual([]);
    });

    it('is given back by a node that leaves, which the others hear at once', async () => {
      const node = await start({ leaseMs: 30_000 });
      const other = await start({ leaseMs: 30_000 });
      await lease(other.nodes.number, 3);
      await other.leave();
      expect(await held()).toBe(0);
      await until(() => node.count('orphansFound') > 0 && node.nodes.place().count === 1, 1_000);
      expect(other.nodes.isLeaseLive()).toBe(false);
      await other.nodes.stop(); // twice is as good as once
    });

    itOnce('does not keep a node from leaving while the database is away', async () => {
      const node = await start();
      await rig.server.stopImmediate();
      try {
        const from = performance.now();
        await node.nodes.stop();
        expect(performance.now() - from).toBeLessThan(4_000);
      } finally {
        await rig.server.start();
      }
    });

    it('refuses to begin without a database, leaving nothing behind', async () => {
      const node = make();
      await node.vanish();
      await expect(node.nodes.start()).rejects.toThrow();
      expect(await sql('SELECT * FROM posthorn.nodes')).toEqual([]);
      expect(node.nodes.isLeaseLive()).toBe(false);
    });
  });

  describe('places', () => {
    const share = (node: TestNode, cap: number): number => {
      const { index, count } = node.nodes.place();
      return Math.floor(cap / count) + (index < cap % count ? 1 : 0);
    };

    itOnce('never share out more than there is, while nodes come, go and vanish', async () => {
      const caps = [1, 2, 3, 7, 10];
      const live = new Set<TestNode>();
      const highest = caps.map(() => 0);
      const look = (): void => {
        caps.forEach((cap, i) => {
          let sum = 0;
          for (const node of live) if (node.nodes.isLeaseLive()) sum += share(node, cap);
          highest[i] = Math.max(highest[i]!, sum);
        });
      };
      const come = async (): Promise<TestNode> => {
        const node = make();
        node.onWord = look;
        await node.nodes.start();
        live.add(node);
        look();
        return node;
      };
      const first = await come();
      const [second, third, fourth] = await Promise.all([come(), come(), come()]);
      await until(() => first.nodes.place().count === 4);
      expect(caps.map((cap) => [...live].reduce((sum, node) => sum + share(node, cap), 0))).toEqual(caps);
      live.delete(second);
      await second.leave();
      const [fifth] = await Promise.all([come(), third.vanish()]);
      await until(() => [first, fourth, fifth].every((node) => node.nodes.place().count === 3));
      live.delete(third);
      await Promise.all([come(), come()]);
      look();
      expect(highest).toEqual(caps);
    });

    it('are taken in milliseconds, because a newcomer calls the others', async () => {
      const node = await start({ leaseMs: 30_000 });
      const from = performance.now();
      const other = await start({ leaseMs: 30_000 });
      expect(performance.now() - from).toBeLessThan(1_000);
      expect([node.nodes.place(), other.nodes.place()]).toEqual([
        { index: 0, count: 2 },
        { index: 1, count: 2 },
      ]);
      expect(node.count('placeChanged')).toBe(1);
    });

    itOnce('are not waited for longer than the lease of a node that is dead', async () => {
      const dead = await start();
      await dead.vanish();
      const from = performance.now();
      const node = await start();
      expect(performance.now() - from).toBeLessThan(LEASE_MS + 500);
      await until(() => node.nodes.place().count === 1);
    });

    it('are not for nodes that only take events in', async () => {
      const api = await start({ delivers: false });
      expect(api.nodes.place()).toEqual({ index: 0, count: 1 });
      const node = await start();
      expect(node.nodes.place()).toEqual({ index: 0, count: 1 });
      await until(() => api.nodes.place().count === 1 && api.nodes.isLeaseLive());
    });
  });
});
