import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, startChild } from './child.ts';

export interface RabbitServer {
  /** `host:port`; the user is guest, with the password guest. */
  address: string;
  /** Kills it and starts it again at the same address, with what it has stored. */
  restart: () => Promise<void>;
  /** How many messages each queue holds, those handed out and not acknowledged too. */
  messages: () => Promise<Map<string, number>>;
  close: () => Promise<void>;
}

const execute = promisify(execFile);
const CONTROL = '/usr/lib/rabbitmq/bin/rabbitmqctl';

/** Not the one on the PATH: that becomes another user, and has a place of its own for everything. */
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';

/** A real RabbitMQ with a data directory, ports and a name server of its own, all on 127.0.0.1. */
export async function startRabbit(): Promise<RabbitServer> {
  if (!existsSync(SERVER)) {
    throw new Error('there is no rabbitmq-server; on Debian and Ubuntu: apt-get install rabbitmq-server');
  }
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-rabbit-'));
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()];
  for (const name of ['home', 'data', 'log']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'plugins'), '[].\n');
  const env = {
    HOME: join(folder, 'home'),
    RABBITMQ_HOME: '/usr/lib/rabbitmq/lib',
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none.conf'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_NODENAME: 'posthorn@localhost',
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  writeFileSync(join(folder, 'rabbitmq.conf'), 'log.console = true\nlog.console.level = info\n');
  const epmd = await startChild(['epmd', '-d', '-port', String(epmdPort), '-address', '127.0.0.1'], {
    env,
    ready: /epmd running/,
  });
  const start = () =>
    startChild([SERVER], { env, cwd: folder, ready: /Server startup complete|completed with \d+ plugins/ });
  let child = await start().catch(async (error: unknown) => {
    await epmd.kill();
    throw error;
  });
  return {
    address: `127.0.0.1:${port}`,
    restart: async () => {
      await child.kill();
      child = await start();
    },
    messages: async () => {
      const argv = ['list_queues', '--quiet', '--no-table-headers', 'name', 'messages'];
      const { stdout } = await execute(CONTROL, argv, { env: { ...process.env, ...env } });
      const lines = stdout
        .trim()
        .split('\n')
        .map((line) => line.split('\t'));
      return new Map(lines.map(([name = '', count]) => [name, Number(count)]));
    },
    close: async () => {
      await child.kill();
      await epmd.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
