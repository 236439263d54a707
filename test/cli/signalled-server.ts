// A program for run-server.test.ts: `runServer` around a server whose `stop` takes as long as the test says.
import { runServer } from '../../src/cli/run-server.ts';

const [behaviour = ''] = process.argv.slice(2);
const alive = setInterval(() => undefined, 60_000);

const server = {
  async start(): Promise<string> {
    if (behaviour === 'fails') throw new Error('cannot start');
    if (behaviour === 'never-starts') {
      console.log('starting');
      await new Promise(() => undefined);
    }
    return 'started';
  },
  async stop(): Promise<void> {
    console.log('stopping');
    if (behaviour === 'never-stops') await new Promise(() => undefined);
    if (behaviour === 'stops-slowly') await new Promise((resolve) => setTimeout(resolve, 500));
    clearInterval(alive);
    console.log('stopped');
  },
};

try {
  process.exitCode = await runServer(server, (outcome) => console.log(outcome));
} catch (error) {
  console.log((error as Error).message);
  process.exitCode = 1;
}
