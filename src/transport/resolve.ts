import { promises as dns } from 'node:dns';
import { BoundedMap } from './bounded-map.ts';
import { createHostsFile } from './hosts-file.ts';
import { nameFailure } from './reasons.ts';
import type { FailureReason } from './transport.ts';

/** One try at one name server, and how many. The exchange's own deadline usually strikes first. */
const tryMs = 2_000;
const tries = 3;

/** How long an answer for one family waits for the other. Some name servers never answer AAAA. */
const otherFamilyMs = 300;

/** Longest time an answer is kept, whatever its TTL: a receiver that moves is followed within this time. */
const maxKeptMs = 30_000;
const maxKeptNames = 10_000;

/** Turns a host name into addresses. Whatever it answers is judged before it is dialled. */
export interface Resolver {
  /** All addresses of the name, IPv4 and IPv6, at least one. Rejects with a ResolveError. */
  resolve(host: string): Promise<readonly string[]>;
  /** Ends look-ups under way; they reject. */
  close(): void;
}

/** A look-up that gave no address. */
export class ResolveError extends Error {
  override name = 'ResolveError';
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

interface Answer {
  addresses: string[];
  ttlMs: number;
}

interface Kept {
  addresses: readonly string[];
  until: number;
}

/**
 * The default resolver: the hosts file, else A and AAAA at the system's name servers. Look-ups of one name under way are
 * shared and answers kept for their TTL (at most 30 s), so a burst to one host asks once.
 *
 * `servers`: name servers as `address` or `address:port`; default the system's. `hostsFile`: its path, null for none.
 */
export function createResolver(options: { servers?: readonly string[]; hostsFile?: string | null } = {}): Resolver {
  const resolver = new dns.Resolver({ timeout: tryMs, tries });
  if (options.servers !== undefined) {
    resolver.setServers(options.servers);
  }
  const path = options.hostsFile === undefined ? systemHostsFile() : options.hostsFile;
  const hostsFile = path === null ? null : createHostsFile(path);
  const kept = new BoundedMap<string, Kept>(maxKeptNames);
  const underWay = new Map<string, Promise<readonly string[]>>();

  async function lookUp(host: string): Promise<readonly string[]> {
    const listed = (await hostsFile?.lookup(host)) ?? [];
    if (listed.length > 0) {
      return listed;
    }
    const answer = await askBothFamilies(resolver, host);
    if (answer.ttlMs > 0) {
      kept.set(host, { addresses: answer.addresses, until: performance.now() + Math.min(answer.ttlMs, maxKeptMs) });
    }
    return answer.addresses;
  }

  return {
    resolve(host) {
      const known = kept.get(host);
      if (known !== undefined && known.until > performance.now()) {
        return Promise.resolve(known.addresses);
      }
      let lookup = underWay.get(host);
      if (lookup === undefined) {
        lookup = lookUp(host).finally(() => underWay.delete(host));
        underWay.set(host, lookup);
      }
      return lookup;
    },
    close() {
      resolver.cancel();
    },
  };
}

/** Both families at once. One that answered does not wait long for one that is silent or broken. */
async function askBothFamilies(resolver: dns.Resolver, host: string): Promise<Answer> {
  const asked = [ask(resolver, host, 4), ask(resolver, host, 6)] as const;
  const first = await Promise.race(asked);
  const both: Promise<readonly (Answer | ResolveError)[]> = Promise.all(asked);
  const answers = isAnswer(first) ? await within(both, otherFamilyMs, [first]) : await both;
  const good = answers.filter(isAnswer);
  if (good.length > 0) {
    return { addresses: good.flatMap((answer) => answer.addresses), ttlMs: Math.min(...good.map((a) => a.ttlMs)) };
  }
  const failures = answers.filter((answer) => answer instanceof ResolveError);
  // "No such name" counts only when both families say it: a broken server may still come back with an address.
  const broken = failures.find((failure) => failure.reason !== 'dns_not_found');
  throw broken ?? new ResolveError('dns_not_found', `no address for ${host}`);
}

/** Resolves in any case: a failed look-up is a ResolveError. An answer without addresses is "not found". */
async function ask(resolver: dns.Resolver, host: string, family: 4 | 6): Promise<Answer | ResolveError> {
  try {
    const records =
      family === 4 ? await resolver.resolve4(host, { ttl: true }) : await resolver.resolve6(host, { ttl: true });
    if (records.length === 0) {
      return new ResolveError('dns_not_found', `ENODATA ${host}`);
    }
    const addresses = records.map((record) => record.address);
    return { addresses, ttlMs: Math.min(...records.map((record) => record.ttl)) * 1000 };
  } catch (error) {
    const failure = nameFailure('dns', error, host);
    return new ResolveError(failure.reason, failure.detail);
  }
}

function isAnswer(value: Answer | ResolveError): value is Answer {
  return !(value instanceof ResolveError);
}

async function within<T>(promise: Promise<T>, ms: number, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, ms, otherwise);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function systemHostsFile(): string {
  const windows = process.env['SystemRoot'] ?? 'C:\\Windows';
  return process.platform === 'win32' ? `${windows}\\System32\\drivers\\etc\\hosts` : '/etc/hosts';
}
