// A move that dies by SIGKILL at an exact point: `node moving-child.ts <options as JSON>`. Its pages are small, so that
// a small store has many of them.
import pg from 'pg';
import { moveToPostgres } from '../../src/move/move.ts';
import { createKeyRing } from '../../src/store/seal.ts';

interface ChildOptions {
  dataDir: string;
  url: string;
  keys: string[];
  rowsAtOnce: number;
  /** Which COMMIT of the run it dies at, from 1; 0 = it lives. */
  commit: number;
  /** Before it is sent, when it was sent and no answer came yet, or behind its answer. */
  when: 'before' | 'during' | 'after';
}

const { commit, when, keys, ...options } = JSON.parse(process.argv[2]!) as ChildOptions;
let commits = 0;
const die = (): void => {
  process.kill(process.pid, 'SIGKILL');
};

type Query = (this: pg.Client, ...args: unknown[]) => unknown;
const proto = pg.Client.prototype as unknown as { query: Query };
const query = proto.query;
proto.query = function (...args) {
  if (args[0] !== 'COMMIT' || ++commits !== commit) return query.apply(this, args);
  if (when === 'before') die();
  const answer = query.apply(this, args) as Promise<unknown>;
  if (when === 'during') {
    // Once it is on its way to the server: whether it is carried out is for the next run to find out.
    const { stream } = (
      this as unknown as { connection: { stream: { write: (data: string, done: () => void) => void } } }
    ).connection;
    stream.write('', die);
  }
  return answer.then((done) => {
    if (when === 'after') die();
    return done;
  });
};

await moveToPostgres({ ...options, schema: 'posthorn', keyRing: createKeyRing(keys) });
process.send?.({ commits });
