import { readFileSync, readdirSync } from 'node:fs';

/** USER_HZ: the unit of the times in /proc/PID/stat, 100 a second on every Linux that Node supports. */
const US_PER_TICK = 10_000;

/**
 * CPU time a process has used since it began, all its threads, microseconds; with `tree`, that of its children too,
 * ended ones included. Resolution 10 ms. Null where there is no /proc, or no such process.
 */
export function cpuUsOf(pid: number, options: { tree?: boolean } = {}): number | null {
  const fields = statFields(pid);
  if (fields === null) return null;
  const [userTicks = 0, systemTicks = 0, childUserTicks = 0, childSystemTicks = 0] = fields.slice(11, 15).map(Number);
  const own = (userTicks + systemTicks) * US_PER_TICK;
  if (options.tree !== true) return own;
  const ended = (childUserTicks + childSystemTicks) * US_PER_TICK;
  return childrenOf(pid).reduce((sum, child) => sum + (cpuUsOf(child, options) ?? 0), own + ended);
}

/** The fields of /proc/PID/stat that follow the name, which is in parentheses and may hold anything: state is first. */
function statFields(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** The processes that name `pid` as their parent. */
export function childrenOf(pid: number): number[] {
  try {
    const pids = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
    return pids.filter((child) => statFields(child)?.[1] === String(pid));
  } catch {
    return [];
  }
}

export interface Memory {
  /** Resident set, bytes. */
  rss: number;
  /** The most it ever was. */
  rssPeak: number;
}

/** Null where there is no /proc, or no such process. */
export function memoryOf(pid: number): Memory | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { rss: kib('VmRSS') * 1024, rssPeak: kib('VmHWM') * 1024 };
  } catch {
    return null;
  }
}
