import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createResolver, ResolveError } from '../../src/transport/transport.ts';
import { startFakeDns } from './fake-dns.ts';
import { ok, receive } from './receiver.ts';
import { makeSender, send } from './sending.ts';

afterEach(() => vi.useRealTimers());

/** A hosts file with this text, removed when the test ends. */
async function hostsFile(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hosts-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'hosts');
  await writeFile(path, text);
  return path;
}

describe('the resolver', () => {
  it('gives all addresses of both families', async () => {
    const dns = await startFakeDns(() => ['192.0.2.1', '192.0.2.2', '2001:db8::1']);
    const resolver = createResolver({ servers: [dns.server], hostsFile: null });
    expect([...(await resolver.resolve('a.example.com'))].sort()).toEqual(['192.0.2.1', '192.0.2.2', '2001:db8::1']);
  });

  it('asks once for many look-ups of one name at a time', async () => {
    const dns = await startFakeDns(() => ['192.0.2.1']);
    const resolver = createResolver({ servers: [dns.server], hostsFile: null });
    await Promise.all(Array.from({ length: 50 }, () => resolver.resolve('a.example.com')));
    expect(dns.questions.sort()).toEqual(['a.example.com A', 'a.example.com AAAA']);
  });

  it('keeps an answer for its TTL, but for no longer than 30 s', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const dns = await startFakeDns((_name, type) => (type === 'A' ? ['192.0.2.1'] : []), 3_600);
    const resolver = createResolver({ servers: [dns.server], hostsFile: null });
    await resolver.resolve('a.example.com');
    vi.advanceTimersByTime(29_000);
    await resolver.resolve('a.example.com');
    expect(dns.questions.length).toBe(2);
    vi.advanceTimersByTime(1_500);
    await resolver.resolve('a.example.com');
    expect(dns.questions.length).toBe(4);
  });

  it('keeps no answer with a TTL of 0, and no failure', async () => {
    const dns = await startFakeDns((name, type, before) =>
      name.startsWith('fails') && before === 0 ? 'nxdomain' : type === 'A' ? [`192.0.2.${before + 1}`] : [],
    );
    const resolver = createResolver({ servers: [dns.server], hostsFile: null });
    expect(await resolver.resolve('a.example.com')).toEqual(['192.0.2.1']);
    expect(await resolver.resolve('a.example.com')).toEqual(['192.0.2.2']);
    await expect(resolver.resolve('fails.example.com')).rejects.toMatchObject({ reason: 'dns_not_found' });
    expect(await resolver.resolve('fails.example.com')).toEqual(['192.0.2.2']);
  });

  it('ends look-ups under way when it is closed', async () => {
    const dns = await startFakeDns(() => 'silence');
    const resolver = createResolver({ servers: [dns.server], hostsFile: null });
    const lookup = resolver.resolve('a.example.com');
    await vi.waitUntil(() => dns.questions.length === 2);
    resolver.close();
    await expect(lookup).rejects.toBeInstanceOf(ResolveError);
  });

  it('prefers the hosts file and asks nobody for a name in it', async () => {
    const dns = await startFakeDns(() => ['192.0.2.1']);
    const path = await hostsFile(
      '# comment\n10.0.0.1 receiver Receiver.Example.com # more\nfd00::1\treceiver\nnonsense x\n',
    );
    const resolver = createResolver({ servers: [dns.server], hostsFile: path });
    expect(await resolver.resolve('receiver')).toEqual(['10.0.0.1', 'fd00::1']);
    expect(await resolver.resolve('receiver.example.com')).toEqual(['10.0.0.1']);
    expect(dns.questions).toEqual([]);
    expect(await resolver.resolve('x')).toEqual(['192.0.2.1']);
  });

  it('reads the hosts file again after 5 s, and does without one', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const dns = await startFakeDns(() => ['192.0.2.1']);
    const path = await hostsFile('10.0.0.1 receiver\n');
    const resolver = createResolver({ servers: [dns.server], hostsFile: path });
    expect(await resolver.resolve('receiver')).toEqual(['10.0.0.1']);
    await writeFile(path, '10.0.0.2 receiver\n');
    vi.advanceTimersByTime(5_001);
    expect(await resolver.resolve('receiver')).toEqual(['10.0.0.2']);
    const without = createResolver({ servers: [dns.server], hostsFile: `${path}.missing` });
    expect(await without.resolve('receiver')).toEqual(['192.0.2.1']);
  });

  it('does not open the guard: a name in the hosts file is judged like any other', async () => {
    const receiver = await receive(ok);
    const resolver = createResolver({
      hostsFile: await hostsFile('10.0.0.1 inside.example.com\n127.0.0.1 near.example.com\n'),
    });
    const sender = makeSender({ resolver });
    const inside = await send(sender, `http://inside.example.com:${receiver.port}/`);
    expect(inside.reason).toBe('blocked_destination');
    expect(await send(sender, `http://near.example.com:${receiver.port}/`)).toMatchObject({ statusCode: 200 });
  });

  it('is not asked about localhost', async () => {
    const dns = await startFakeDns(() => ['10.0.0.1']);
    const receiver = await receive(ok);
    const sender = makeSender({ resolver: createResolver({ servers: [dns.server], hostsFile: null }) });
    for (const host of ['localhost', 'a.localhost']) {
      const exchange = await send(sender, `http://${host}:${receiver.port}/`);
      expect(exchange).toMatchObject({ statusCode: 200, dnsMs: null });
    }
    expect(dns.questions).toEqual([]);
  });
});
