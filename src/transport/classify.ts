import { contains, parseAddress, parseCidr, unmap } from './address.ts';
import type { Address, Cidr } from './address.ts';
import type { GuardPolicy } from './transport.ts';

/**
 * IPv4 that is not public unicast: the IANA special-purpose registry (RFC 6890 and updates), multicast, the old class E,
 * and 168.63.129.16, the public-looking address at which Azure serves its virtual machines' platform.
 */
const specialIPv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map(parseCidr);

/** The only IPv6 block from which unicast addresses are handed out. What lies outside is refused unseen. */
const globalIPv6 = parseCidr('2000::/3');

/** Ranges inside 2000::/3 that are not plain unicast; several carry an IPv4 address to some gateway. */
const specialIPv6 = [
  '2001::/23', // protocol assignments: Teredo, benchmarking, ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4
  '2620:4f:8000::/48', // AS112
  '3ffe::/16', // the former 6bone
  '3fff::/20', // documentation
].map(parseCidr);

const loopback = ['127.0.0.0/8', '::1/128'].map(parseCidr);

/** Decides about addresses under one policy. */
export interface Classifier {
  /** Whether requests may go to this IP literal. Fails closed: what cannot be parsed is not allowed. */
  allows(literal: string): boolean;
}

/** Compiles a policy. Throws an Error that names a network it cannot read. */
export function createClassifier(policy: Pick<GuardPolicy, 'allowLoopback' | 'allowCidrs'>): Classifier {
  const opened: Cidr[] = policy.allowCidrs.map(parseCidr);
  if (policy.allowLoopback) {
    opened.push(...loopback);
  }
  return {
    allows(literal) {
      const parsed = parseAddress(literal);
      if (parsed === null) {
        return false;
      }
      const address = unmap(parsed);
      return isPublic(address) || opened.some((cidr) => contains(cidr, address));
    },
  };
}

function isPublic(address: Address): boolean {
  if (address.family === 4) {
    return !specialIPv4.some((cidr) => contains(cidr, address));
  }
  return contains(globalIPv6, address) && !specialIPv6.some((cidr) => contains(cidr, address)) && !isIsatap(address);
}

/** ISATAP (RFC 5214) hides an IPv4 address behind the interface id 0:5efe or 200:5efe of any prefix. */
function isIsatap(address: Address): boolean {
  return (address.words[2] & 0xfdffffff) >>> 0 === 0x00005efe;
}
