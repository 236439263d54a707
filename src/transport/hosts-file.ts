import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

/** How long a reading of the file is believed. */
const believeMs = 5_000;

/** Names the machine's operator wrote down himself, as Docker's `extra_hosts` and Kubernetes' `hostAliases` do. */
export interface HostsFile {
  /** Addresses of a lower-case name in the file's order; none when it is not listed or there is no file. */
  lookup(name: string): Promise<readonly string[]>;
}

/**
 * Reads a hosts file, again at most every 5 s. Not `dns.lookup`: getaddrinfo holds one of four threads for as long as it
 * pleases and adds search domains, so one silent name server would stall file access for the whole process.
 */
export function createHostsFile(path: string): HostsFile {
  let names = new Map<string, string[]>();
  let readAt = -Infinity;
  let reading: Promise<void> | null = null;

  async function read(): Promise<void> {
    const text = await readFile(path, 'utf8').catch(() => '');
    names = parse(text);
    readAt = performance.now();
    reading = null;
  }

  return {
    async lookup(name) {
      if (performance.now() - readAt > believeMs) {
        reading ??= read();
        await reading;
      }
      return names.get(name) ?? [];
    },
  };
}

function parse(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) !== 0) {
      for (const alias of aliases) {
        const name = alias.toLowerCase();
        names.set(name, [...(names.get(name) ?? []), address]);
      }
    }
  }
  return names;
}
