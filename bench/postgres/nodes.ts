import { cpuUsOf } from '../procfs.ts';
import { startPosthorn } from '../posthorn.ts';
import type { Posthorn } from '../posthorn.ts';
import { removeFolder, temporaryFolder } from '../processes.ts';
import { startPostgres } from '../baseline/postgres.ts';

/** A new PostgreSQL with `count` Posthorn nodes on it. */
export interface Nodes {
  readonly nodes: readonly Posthorn[];
  readonly databaseUrl: string;
  /** CPU that PostgreSQL has used, all its processes, µs. */
  databaseCpuUs(): number | null;
  /** One more. */
  add(): Promise<Posthorn>;
  stop(): Promise<void>;
}

export async function startNodes(
  count: number,
  options: { workDir: string | null; env?: Readonly<Record<string, string>>; profileDir?: string | null },
): Promise<Nodes> {
  const folder = temporaryFolder(options.workDir ?? undefined);
  const dataDir = temporaryFolder(options.workDir ?? undefined);
  const postgres = await startPostgres(folder);
  const nodes: Posthorn[] = [];
  const env = { POSTHORN_DATABASE_URL: postgres.url, ...options.env };
  const add = async (): Promise<Posthorn> => {
    const node = await startPosthorn({ dataDir, env, profileDir: options.profileDir ?? null });
    nodes.push(node);
    return node;
  };
  for (let i = 0; i < count; i++) await add();
  return {
    nodes,
    databaseUrl: postgres.url,
    databaseCpuUs: () => cpuUsOf(postgres.pid, { tree: true }),
    add,
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await postgres.stop();
      removeFolder(folder);
      removeFolder(dataDir);
    },
  };
}
