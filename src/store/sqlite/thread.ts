import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/** Starts a thread from a module beside this one: `.ts` from source, `.js` from the build. */
export function startThread(module: 'writer' | 'reader', workerData: unknown): Worker {
  const url = new URL(`./${module}${extname(import.meta.url)}`, import.meta.url);
  // The parent's flags (test runners set loaders) are not for this thread.
  return new Worker(url, {
    workerData,
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 12 },
    name: `posthorn-store-${module}`,
  });
}
