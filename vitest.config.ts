import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts', 'sdk/typescript/test/**/*.test.ts'],
    // Forks, not threads: better-sqlite3 is native and already lives in worker threads of its own.
    pool: 'forks',
    // Tests start real servers and kill real processes; more at once than cores makes their deadlines lie.
    maxWorkers: Math.min(4, availableParallelism()),
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 10_000,
  },
});
