import { afterEach, describe, expect, it, vi } from 'vitest';
import { createResolver } from '../../src/transport/transport.ts';
import type { Sender } from '../../src/transport/transport.ts';
import { startFakeDns } from './fake-dns.ts';
import type { DnsAnswer } from './fake-dns.ts';
import { development, production } from './policies.ts';
import { ok, receive } from './receiver.ts';
import { makeSender, send } from './sending.ts';

/** 127.0.0.2 plays the public address, every other one (127.0.0.1 too) is forbidden. */
const policy = { ...production, allowHttp: true, allowAnyPort: true, allowCidrs: ['127.0.0.2/32'] };
const allowed = '127.0.0.2';
const forbidden = '127.0.0.1';

/** A sender that asks a fake name server, the receiver it may reach and the one it must not, on one port. */
async function stage(answer: (name: string, type: 'A' | 'AAAA', before: number) => DnsAnswer): Promise<{
  sender: Sender;
  receiver: Awaited<ReturnType<typeof receive>>;
  trap: typeof receiver;
  questions: string[];
}> {
  const dns = await startFakeDns(answer);
  const receiver = await receive(
    (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'),
    { host: allowed },
  );
  const trap = await receive(ok, { host: forbidden, port: receiver.port });
  const resolver = createResolver({ servers: [dns.server], hostsFile: null });
  return { sender: makeSender({ policy, resolver }), receiver, trap, questions: dns.questions };
}

describe('names', () => {
  it('delivers to a name whose addresses are all allowed, with the name as Host', async () => {
    const { sender, receiver } = await stage((_name, type) => (type === 'A' ? [allowed] : []));
    const exchange = await send(sender, `http://hooks.example.com:${receiver.port}/in?x=1`);
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, remoteAddress: allowed, responseBody: 'ok' });
    expect(exchange.dnsMs).toBeGreaterThan(0);
    expect(receiver.requests[0]?.head).toContain(
      `POST /in?x=1 HTTP/1.1\r\nhost: hooks.example.com:${receiver.port}\r\n`,
    );
  });

  it('blocks a name that leads inside at its second look-up (rebinding)', async () => {
    const { sender, receiver, trap } = await stage((_name, type, before) =>
      type === 'A' ? [before === 0 ? allowed : forbidden] : [],
    );
    const url = `http://rebind.example.com:${receiver.port}/`;
    expect(await send(sender, url)).toMatchObject({ statusCode: 200, remoteAddress: allowed });
    const second = await send(sender, url);
    expect(second).toMatchObject({ statusCode: null, reason: 'blocked_destination', remoteAddress: null });
    expect(second.detail).toContain(forbidden);
    expect(trap.connections).toBe(0);
  });

  it('dials the addresses it has checked and asks no second time for one connection', async () => {
    const { sender, receiver, trap, questions } = await stage((_name, type, before) =>
      type === 'A' ? [before === 0 ? allowed : forbidden] : [],
    );
    await send(sender, `http://once.example.com:${receiver.port}/`);
    expect(questions.sort()).toEqual(['once.example.com A', 'once.example.com AAAA']);
    expect(trap.connections).toBe(0);
  });

  it.each<[string, readonly string[]]>([
    ['allowed first', [allowed, '10.0.0.1']],
    ['forbidden first', ['169.254.169.254', allowed]],
    ['forbidden IPv6 beside allowed IPv4', [allowed, '::1']],
    ['mapped metadata address beside allowed IPv4', [allowed, '::ffff:169.254.169.254']],
    ['NAT64 beside allowed IPv4', [allowed, '64:ff9b::7f00:1']],
    ['behind a CNAME', ['cname:inside.example.net', allowed, '192.168.1.1']],
  ])('rejects a mixed answer whole: %s', async (_title, addresses) => {
    const { sender, receiver } = await stage(() => addresses);
    const exchange = await send(sender, `http://mixed.example.com:${receiver.port}/`);
    expect(exchange).toMatchObject({ statusCode: null, reason: 'blocked_destination' });
    expect(receiver.connections).toBe(0);
  });

  it('follows a chain of CNAMEs to an allowed address', async () => {
    const { sender, receiver } = await stage((_name, type) =>
      type === 'A' ? ['cname:a.example.net', 'cname:b.example.org', allowed] : ['cname:a.example.net'],
    );
    expect(await send(sender, `http://alias.example.com:${receiver.port}/`)).toMatchObject({ statusCode: 200 });
  });

  it.each<[DnsAnswer, string]>([
    ['servfail', 'dns_failed'],
    ['refused', 'dns_failed'],
    ['garbage', 'dns_failed'],
    ['nxdomain', 'dns_not_found'],
    [[], 'dns_not_found'],
    [['cname:nowhere.example.net'], 'dns_not_found'],
  ])('names what a name server does: %j is %s', async (answer, reason) => {
    const { sender, receiver } = await stage(() => answer);
    const exchange = await send(sender, `http://broken.example.com:${receiver.port}/`);
    expect(exchange).toMatchObject({ statusCode: null, reason, connectMs: null });
    expect(exchange.detail).toContain('broken.example.com');
  });

  it('gives up on a silent name server at the deadline', async () => {
    const { sender, receiver } = await stage(() => 'silence');
    const exchange = await send(sender, `http://silent.example.com:${receiver.port}/`, { timeoutMs: 150 });
    expect(exchange).toMatchObject({ reason: 'dns_timeout', connectMs: null });
    expect(exchange.totalMs).toBeGreaterThanOrEqual(150);
    expect(exchange.totalMs).toBeLessThan(1_800);
  });

  it.each<DnsAnswer>(['silence', 'servfail', 'nxdomain'])('delivers over IPv4 when IPv6 gets %s', async (other) => {
    const { sender, receiver } = await stage((_name, type) => (type === 'A' ? [allowed] : other));
    expect(await send(sender, `http://half.example.com:${receiver.port}/`)).toMatchObject({ statusCode: 200 });
  });

  it('calls a name missing only when both families say so', async () => {
    const { sender, receiver } = await stage((_name, type) => (type === 'A' ? 'nxdomain' : 'servfail'));
    const exchange = await send(sender, `http://half.example.com:${receiver.port}/`);
    expect(exchange.reason).toBe('dns_failed');
  });
});

describe('every way round the guard', () => {
  it.each([
    'http://2130706433/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::7f00:1]/',
    'http://0x7f.1/',
    'http://localhost/',
    'http://a.localhost./',
    'http://user@hooks.example.com/',
    'ftp://hooks.example.com/',
    'not a url',
  ])('refuses %s at send, whatever registration said', async (url) => {
    const { sender, questions } = await stage(() => [forbidden]);
    const exchange = await send(sender, url);
    expect(exchange).toMatchObject({ statusCode: null, reason: 'blocked_destination', remoteAddress: null });
    expect(questions).toEqual([]);
  });

  it.each([301, 302, 303, 307, 308])(
    'takes a %i to the inside as the outcome and does not follow it',
    async (status) => {
      const trap = await receive(ok);
      const receiver = await receive((socket) => {
        socket.write(`HTTP/1.1 ${status} Moved\r\nLocation: ${trap.url()}\r\nContent-Length: 0\r\n\r\n`);
      });
      const exchange = await send(makeSender(), receiver.url());
      expect(exchange).toMatchObject({ statusCode: status, reason: null });
      expect(exchange.responseHeaders).toContain(trap.url());
      expect(trap.connections).toBe(0);
    },
  );

  it.each([
    'Host',
    'content-length',
    'Transfer-Encoding',
    'TE',
    'Connection',
    'Proxy-Authorization',
    'Expect',
    'Upgrade',
    'Accept-Encoding',
  ])('does not send a request that sets %s', async (name) => {
    const receiver = await receive(ok);
    const exchange = await send(makeSender(), receiver.url(), { headers: [name, '1'] });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'cancelled' });
    expect(exchange.detail).toContain(name);
    expect(receiver.connections).toBe(0);
  });

  it.each([
    ['bad name', '1'],
    ['X-Fine', 'a\r\nX-Smuggled: 1'],
    ['X-Fine\r\nX-Smuggled', '1'],
    ['', '1'],
  ])('does not send a malformed header (%j: %j)', async (name, value) => {
    const receiver = await receive(ok);
    const exchange = await send(makeSender(), receiver.url(), { headers: [name, value] });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'cancelled' });
    expect(receiver.bytes).toBe(0);
  });
});

describe('the environment', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('does not use a proxy that the environment names', async () => {
    const proxy = await receive(ok);
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'all_proxy']) {
      vi.stubEnv(name, proxy.url('/'));
    }
    vi.stubEnv('NODE_USE_ENV_PROXY', '1');
    const receiver = await receive(ok);
    expect(await send(makeSender({ policy: development }), receiver.url())).toMatchObject({ statusCode: 200 });
    expect(proxy.connections).toBe(0);
  });
});
