import { isIP } from 'node:net';
import { createClassifier } from './classify.ts';
import type { Classifier } from './classify.ts';
import type { GuardPolicy, UrlVerdict } from './transport.ts';

/** Longer URLs than this are refused by many servers and proxies. */
const maxUrlLength = 2048;

/** Names that mean "inside": RFC 6761, 6762, 8375, ICANN's .internal, and those that routers and companies use. */
const internalSuffixes = [
  'alt',
  'corp',
  'domain',
  'home',
  'home.arpa',
  'internal',
  'intranet',
  'lan',
  'local',
  'localdomain',
  'onion',
  'private',
];

/** A destination that passed the static rules: what to connect to and what to ask for. */
export interface Destination {
  href: string;
  protocol: 'http:' | 'https:';
  /** IP literal without brackets, or a lower-case name without a trailing dot. */
  host: string;
  hostIsIp: boolean;
  port: number;
  /** scheme://host:port as HTTP wants it. */
  origin: string;
  /** Path and query. */
  path: string;
}

type Refusal = Extract<UrlVerdict, { ok: false }>;
type Judgement = { ok: true; destination: Destination } | Refusal;

/** Judges URLs under one policy, with everything compiled that can be. */
export interface Guard {
  classifier: Classifier;
  judge(text: unknown): Judgement;
}

const guards = new WeakMap<GuardPolicy, Guard>();

/**
 * Checks a URL at registration: form, scheme, port, host name, IP literal. Names are not resolved; their addresses are
 * judged at every send. Expects an absolute URL of at most 2,048 characters; answers, never throws.
 */
export function checkUrl(text: unknown, policy: GuardPolicy): UrlVerdict {
  let guard = guards.get(policy);
  if (guard === undefined) {
    guard = createGuard(policy);
    guards.set(policy, guard);
  }
  const judgement = guard.judge(text);
  return judgement.ok ? { ok: true, url: judgement.destination.href } : judgement;
}

/** Compiles a policy. Throws an Error that names a network or port it cannot read. */
export function createGuard(policy: GuardPolicy): Guard {
  const classifier = createClassifier(policy);
  const ports = new Set([443, 8443, ...(policy.allowHttp ? [80] : []), ...policy.allowPorts]);
  for (const port of ports) {
    if (!Number.isInteger(port) || port < 1 || port > 65535) {
      throw new Error(`${port} is not a port; allow whole numbers from 1 to 65535`);
    }
  }
  const allowInternalNames = policy.allowCidrs.length > 0;

  function judge(text: unknown): Judgement {
    const url = parse(text);
    if (!(url instanceof URL)) {
      return url;
    }
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && policy.allowHttp)) {
      const allowed = policy.allowHttp ? 'https:// or http://' : 'https://';
      return refuse('url_scheme', `url must start with ${allowed}, not ${url.protocol.slice(0, 20)}`);
    }
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
    if (port === 0 || !(policy.allowAnyPort || ports.has(port))) {
      const list = [...ports].sort((a, b) => a - b).join(', ');
      return refuse(
        'url_port',
        `port ${port} of url is not allowed here; use one of ${list}, or ask the operator to allow it`,
      );
    }
    return judgeHost(url, port);
  }

  function judgeHost(url: URL, port: number): Judgement {
    const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
    const hostIsIp = isIP(host) !== 0;
    if (hostIsIp && !classifier.allows(host)) {
      return refuse('url_blocked', `url points at ${host}, which is not a public address; use a public one`);
    }
    if (!hostIsIp) {
      const refusal = judgeName(host);
      if (refusal !== null) {
        return refusal;
      }
    }
    const protocol = url.protocol as Destination['protocol'];
    const path = url.pathname + url.search;
    return { ok: true, destination: { href: url.href, protocol, host, hostIsIp, port, origin: url.origin, path } };
  }

  function judgeName(host: string): Refusal | null {
    const labels = host.split('.');
    if (host.length > 253 || !labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))) {
      return refuse('url_host', 'the host in url is not a valid name; write it like hooks.example.com');
    }
    if (labels.at(-1) === 'localhost') {
      return policy.allowLoopback
        ? null
        : refuse('url_blocked', `url points at ${host}, this machine itself; use a public host`);
    }
    if (allowInternalNames) {
      return null;
    }
    if (labels.length === 1) {
      return refuse('url_host', `"${host}" in url is not a public host name; write it in full, like hooks.example.com`);
    }
    if (internalSuffixes.some((suffix) => host.endsWith(`.${suffix}`))) {
      return refuse('url_blocked', `"${host}" in url is an internal name; use a public host`);
    }
    return null;
  }

  return { classifier, judge };
}

/**
 * One parse, by the WHATWG parser. It repairs a lot silently (drops tabs, turns backslashes into slashes): what needs
 * such repair is refused before, so that what a person reads in the text is what will be dialled.
 */
function parse(text: unknown): URL | Refusal {
  if (typeof text !== 'string' || text === '') {
    return refuse('url_invalid', 'url must be a text with an absolute URL, like https://hooks.example.com/path');
  }
  if (text.length > maxUrlLength) {
    return refuse('url_too_long', `url has ${text.length} characters; at most ${maxUrlLength} are allowed`);
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f\\]|%(?:00|0a|0d)/i.test(text)) {
    return refuse('url_invalid', 'url contains a space, a backslash or a control character; remove it');
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#]/i.test(text)) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1];
    return scheme !== undefined && !/^https?$/i.test(scheme)
      ? refuse('url_scheme', `url must start with https://, not ${scheme.slice(0, 20)}:`)
      : refuse('url_invalid', 'url must be absolute, like https://hooks.example.com/path');
  }
  if (/^[^/]*\/\/[^/?#]*@/.test(text)) {
    return refuse('url_credentials', 'url must not carry a user name or password; remove the part before the @');
  }
  if (!URL.canParse(text)) {
    return refuse('url_invalid', 'url cannot be parsed; write it like https://hooks.example.com/path');
  }
  const url = new URL(text);
  url.hash = '';
  if (url.hostname.endsWith('.')) {
    url.hostname = url.hostname.slice(0, -1);
  }
  return url.href.length > maxUrlLength
    ? refuse('url_too_long', `url has ${url.href.length} characters once encoded; at most ${maxUrlLength} are allowed`)
    : url;
}

function refuse(code: Refusal['code'], message: string): Refusal {
  return { ok: false, code, message };
}
