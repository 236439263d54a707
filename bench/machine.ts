import { statfsSync } from 'node:fs';
import { arch, cpus, loadavg, platform, release, tmpdir, totalmem } from 'node:os';

/** What the numbers were measured on. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryBytes: number;
  system: string;
  node: string;
  /** Of the folder that the stores lie in. */
  filesystem: string;
  /** Processes that wanted a core in the minute before; the bench itself needs every core. */
  loadAverage: number;
}

/** Magic numbers of statfs(2). */
const filesystems: Record<number, string> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x794c7630: 'overlay',
  0x01021994: 'tmpfs',
  0x2fc12fc1: 'zfs',
  0x6969: 'nfs',
};

export function describeMachine(workDir: string | null): Machine {
  const { type } = statfsSync(workDir ?? tmpdir());
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    filesystem: filesystems[type] ?? `0x${type.toString(16)}`,
    loadAverage: Math.round(loadavg()[0]! * 100) / 100,
  };
}

/** What makes numbers of this machine mean less, one sentence each. */
export function warningsFor(machine: Machine): string[] {
  const warnings: string[] = [];
  if (machine.filesystem === 'tmpfs') {
    warnings.push('The stores lie in memory (tmpfs), where fsync costs nothing: choose a folder on a disk with --dir.');
  }
  if (machine.loadAverage > 0.5) {
    warnings.push(`The machine is busy (load ${machine.loadAverage}): rates will be too low, latencies too high.`);
  }
  return warnings;
}
