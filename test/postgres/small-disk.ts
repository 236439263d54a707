import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeSync, openSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unprivileged } from './binaries.ts';
import { own } from './cluster.ts';

/** A file system of its own, which can be filled. */
export interface SmallDisk {
  path: string;
  /** Leaves room for nothing. */
  fill(): void;
  free(): void;
  unmount(): void;
}

/** A tmpfs of so many MiB that PostgreSQL may write to; null where this process may not mount one. */
export function mountSmallDisk(mebibytes: number): SmallDisk | null {
  const path = mkdtempSync(join(tmpdir(), 'posthorn-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'posthorn-test', path]);
  if (mounted.status !== 0) {
    rmSync(path, { recursive: true });
    return null;
  }
  own(path, unprivileged());
  const filler = join(path, 'filler');
  return {
    path,
    fill() {
      const block = Buffer.alloc(4096);
      const file = openSync(filler, 'a');
      try {
        while (statfsSync(path).bavail > 0) writeSync(file, block);
      } finally {
        closeSync(file);
      }
    },
    free() {
      rmSync(filler, { force: true });
    },
    unmount() {
      // Lazily: a server that did not end in time must not keep it here.
      spawnSync('umount', ['-l', path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
