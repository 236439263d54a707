import type { Connections } from './connections.ts';

export interface Use {
  name: string;
  /** Epoch ms at which the minute or day began. */
  window: number;
  add: number;
}

const ADD = `
INSERT INTO posthorn.counters AS c (name, "window", used)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (name, "window") DO UPDATE SET used = c.used + excluded.used
RETURNING c.name, c."window", c.used`;

/**
 * Adds to counters that all nodes share, in one statement; resolves to their totals, in the order asked. After a
 * rejection it may have been added all the same, where the connection was lost while it was committed.
 */
export async function count(connections: Connections, uses: readonly Use[]): Promise<number[]> {
  if (uses.length === 0) return [];
  const sums = new Map<string, Use>();
  for (const { name, window, add } of uses) {
    const known = sums.get(keyOf(name, window));
    if (known) known.add += add;
    else sums.set(keyOf(name, window), { name, window, add });
  }
  // In one order everywhere, so that two nodes wait for each other, never in a circle.
  const sorted = [...sums.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, use]) => use);
  const { rows } = await connections.query<{ name: string; window: number; used: number }>({
    name: 'count',
    sql: ADD,
    parameters: [sorted.map(({ name }) => name), sorted.map(({ window }) => window), sorted.map(({ add }) => add)],
  });
  const totals = new Map(rows.map(({ name, window, used }) => [keyOf(name, window), used]));
  return uses.map(({ name, window }) => totals.get(keyOf(name, window))!);
}

/** Sees to it that a counter is no lower than `to`. However often, and by however many nodes at once, it is the same. */
export async function raise(
  connections: Connections,
  { name, window, to }: { name: string; window: number; to: number },
): Promise<void> {
  await connections.query({
    sql: `INSERT INTO posthorn.counters AS c (name, "window", used) VALUES ($1, $2, $3)
          ON CONFLICT (name, "window") DO UPDATE SET used = excluded.used WHERE c.used < excluded.used`,
    parameters: [name, window, to],
  });
}

function keyOf(name: string, window: number): string {
  return `${name}\0${window}`;
}
