import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startChild } from './child.ts';

export interface KafkaBroker {
  /** `host:port`. */
  address: string;
  /** Kills it and starts it again at the same address, with what it has stored. */
  restart: () => Promise<void>;
  close: () => Promise<void>;
}

const source = join(import.meta.dirname, 'kfake');

/**
 * A broker with these topics. `user`: the only one let in, by SASL.
 *
 * It is franz-go's kfake: the real protocol over real sockets, also groups, offsets and a data directory. The real Kafka
 * needs Java and comes from neither Debian nor a registry.
 */
export async function startKafka(
  topics: readonly string[],
  user?: { mechanism: string; name: string; password: string },
): Promise<KafkaBroker> {
  const program = buildBroker();
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-kafka-'));
  const port = await freePort();
  const argv = [
    ...[program, '-port', String(port), '-data', folder, '-topics', topics.join(','), '-partitions', '3'],
    ...(user === undefined ? [] : ['-user', `${user.mechanism}:${user.name}:${user.password}`]),
  ];
  const start = () => startChild(argv, { ready: /"addresses"/ });
  let child = await start();
  return {
    address: `127.0.0.1:${port}`,
    restart: async () => {
      await child.kill();
      child = await start();
    },
    close: async () => {
      await child.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Compiles the broker, once for each version of its sources. Throws an Error that says what is missing. */
function buildBroker(): string {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(source, file)));
  const folder = join(import.meta.dirname, '../../node_modules/.cache', `kfake-${hash.digest('hex').slice(0, 16)}`);
  const program = join(folder, 'kfake');
  if (existsSync(program)) return program;
  if (spawnSync('go', ['version']).status !== 0) {
    throw new Error(
      'the Kafka tests compile a broker with Go, and there is none; install Go 1.26 or newer from go.dev/dl',
    );
  }
  console.error('Compiling the Kafka broker of the tests (once)…');
  mkdirSync(folder, { recursive: true });
  const built = spawnSync('go', ['build', '-o', `${program}.new`, '.'], { cwd: source, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`go build in test/ingest/kfake fails: ${built.stderr}`);
  renameSync(`${program}.new`, program);
  return program;
}
