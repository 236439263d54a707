import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startChild } from './child.ts';

export interface NatsServer {
  /** `host:port`. */
  address: string;
  /** Kills it and starts it again at the same address, with what it has stored. */
  restart: () => Promise<void>;
  close: () => Promise<void>;
}

/** A real NATS server with JetStream. `users`: name and password of the only one let in. */
export async function startNats(user?: { name: string; password: string }): Promise<NatsServer> {
  if (spawnSync('nats-server', ['--version']).status !== 0) {
    throw new Error('there is no nats-server; on Debian and Ubuntu: apt-get install nats-server');
  }
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-nats-'));
  const port = await freePort();
  const config = join(folder, 'nats.conf');
  const lines = [
    `listen: 127.0.0.1:${port}`,
    `jetstream { store_dir: ${JSON.stringify(join(folder, 'data'))} }`,
    ...(user === undefined ? [] : [`authorization { user: ${user.name}, password: ${user.password} }`]),
  ];
  writeFileSync(config, lines.join('\n'));
  const start = () => startChild(['nats-server', '-c', config], { ready: /Server is ready/ });
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
