import { isIPv4, isIPv6 } from 'node:net';

/** An IP address as four 32-bit words; an IPv4 address is held in the last one. */
export interface Address {
  family: 4 | 6;
  words: readonly [number, number, number, number];
}

/** A network: addresses of `family` that agree with `base` in the first `prefix` bits. */
export interface Cidr {
  family: 4 | 6;
  base: Address['words'];
  masks: Address['words'];
}

/** Parses an IPv4 or IPv6 literal in its plain spelling; null for anything else, zones (`%eth0`) included. */
export function parseAddress(text: string): Address | null {
  if (isIPv4(text)) {
    return { family: 4, words: [0, 0, 0, parseIPv4(text)] };
  }
  if (isIPv6(text) && !text.includes('%')) {
    return { family: 6, words: parseIPv6(text) };
  }
  return null;
}

/** Parses `10.0.0.0/8` or `fd00::/8`; a bare address means itself alone. Throws an Error that names the remedy. */
export function parseCidr(text: string): Cidr {
  const [literal = '', length, ...rest] = text.split('/');
  const address = parseAddress(literal);
  const width = address?.family === 4 ? 32 : 128;
  const prefix = length === undefined ? width : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (address === null || rest.length > 0 || prefix < 0 || prefix > width) {
    throw new Error(`"${text}" is not a network; write it like 10.1.0.0/16 or fd00:1::/32`);
  }
  const masks = maskWords(prefix + 128 - width);
  const base = address.words.map((word, index) => (word & (masks[index] ?? 0)) >>> 0);
  return { family: address.family, base: base as unknown as Address['words'], masks };
}

/** Whether the network holds the address. Families never mix: unmap first. */
export function contains(cidr: Cidr, address: Address): boolean {
  const { base, masks } = cidr;
  const { words } = address;
  return (
    cidr.family === address.family &&
    (words[3] & masks[3]) >>> 0 === base[3] &&
    (words[0] & masks[0]) >>> 0 === base[0] &&
    (words[1] & masks[1]) >>> 0 === base[1] &&
    (words[2] & masks[2]) >>> 0 === base[2]
  );
}

/** `::ffff:a.b.c.d` is the IPv4 address it carries: the kernel dials it as such. Everything else stays what it is. */
export function unmap(address: Address): Address {
  const { family, words } = address;
  const mapped = family === 6 && words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return mapped ? { family: 4, words: [0, 0, 0, words[3]] } : address;
}

function parseIPv4(text: string): number {
  let word = 0;
  for (const octet of text.split('.')) {
    word = word * 256 + Number(octet);
  }
  return word;
}

function parseIPv6(text: string): Address['words'] {
  const [head = '', tail] = text.split('::');
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  const word = (index: number): number => (all[index] ?? 0) * 65536 + (all[index + 1] ?? 0);
  return [word(0), word(2), word(4), word(6)];
}

function groups(part: string): number[] {
  if (part === '') {
    return [];
  }
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) {
      return [Number.parseInt(group, 16)];
    }
    const word = parseIPv4(group);
    return [Math.floor(word / 65536), word % 65536];
  });
}

function maskWords(prefix: number): Address['words'] {
  const mask = (bits: number): number => (bits <= 0 ? 0 : bits >= 32 ? 0xffffffff : (0xffffffff << (32 - bits)) >>> 0);
  return [mask(prefix), mask(prefix - 32), mask(prefix - 64), mask(prefix - 96)];
}
