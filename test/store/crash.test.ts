import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createKeyRing } from '../../src/store/seal.ts';
import { createSqliteStore } from '../../src/store/sqlite/store.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'posthorn-crash-'));
});
afterEach(() => {
  rmSync(dataDir, { recursive: true });
});

/** Runs the child until it printed so many lines, then kills it with -9; gives back every line it printed. */
async function killAfter(lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'accepting-child.ts'), dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (printed.length === lines) child.kill('SIGKILL');
  }
  expect((await exited)[1]).toBe('SIGKILL');
  return printed;
}

it('loses nothing it acknowledged, killed with -9 in five rounds over the same directory', async () => {
  const accepted = new Set<string>();
  const settled = new Set<string>();
  for (let round = 0; round < 5; round++) {
    for (const line of await killAfter(50 + Math.floor(Math.random() * 400))) {
      const [what, id] = line.split(' ') as ['accepted' | 'settled', string | undefined];
      if (id?.length === 26) (what === 'accepted' ? accepted : settled).add(id);
    }
    const store = createSqliteStore({ dataDir, keyRing: createKeyRing(['a master key for tests only']) });
    await store.open({ migrate: false, now: Date.now() }); // the lock went with the process
    const rows = await store.deliveries.list({ tenantId: 'acme' }, { limit: 100_000, before: null });
    const status = new Map(rows.map((row) => [row.id, row.status]));
    for (const id of accepted) expect(status.has(id)).toBe(true);
    for (const id of settled) expect(status.get(id)).toBe('delivered');
    expect(new Set(status.values())).not.toContain('sending');
    await store.close();
  }
  expect(accepted.size).toBeGreaterThan(100);
}, 60_000);
