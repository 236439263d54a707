import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Histogram } from './histogram.ts';
import type { Percentiles } from './histogram.ts';
import { removeFolder, temporaryFolder } from './processes.ts';

const BLOCK_BYTES = 8_192;
const BLOCKS = 2_000;
const PAUSE_MS = 5;

/** What was measured before is written out: it is not for those who are measured next to wait for. */
export async function flushDisk(): Promise<void> {
  await promisify(execFile)('sync');
}

/**
 * How long the disk itself takes to make 8 KiB durable, over and over in a file that is there already, ms. A database waits as
 * long for every commit, so no p99 of events can be better than what this one leaves.
 */
export async function probeDisk(workDir: string | null, seconds: number): Promise<Percentiles> {
  const folder = temporaryFolder(workDir ?? undefined);
  const took = new Histogram();
  const file = await open(join(folder, 'probe'), 'w');
  try {
    await file.write(Buffer.alloc(BLOCK_BYTES * BLOCKS, 1));
    await flushDisk();
    const block = Buffer.alloc(BLOCK_BYTES, 2);
    const until = performance.now() + seconds * 1000;
    for (let i = 0; performance.now() < until; i = (i + 1) % BLOCKS) {
      const beganAt = performance.now();
      await file.write(block, 0, BLOCK_BYTES, i * BLOCK_BYTES);
      await file.datasync();
      took.record((performance.now() - beganAt) * 1000);
      await wait(PAUSE_MS);
    }
  } finally {
    await file.close();
    removeFolder(folder);
  }
  return took.percentiles();
}
