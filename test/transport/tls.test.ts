import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createResolver } from '../../src/transport/transport.ts';
import type { SenderOptions } from '../../src/transport/transport.ts';
import { makeCertificates } from './certificates.ts';
import type { Certificates } from './certificates.ts';
import { startFakeDns } from './fake-dns.ts';
import { ok, receive } from './receiver.ts';
import type { Receiver } from './receiver.ts';
import { makeSender, send } from './sending.ts';

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});

afterEach(() => vi.unstubAllEnvs());

async function secureReceiver(name: Exclude<keyof Certificates, 'ca'>): Promise<Receiver> {
  return receive(ok, { tls: certificates[name] });
}

async function sendTrusting(url: string, options: Partial<SenderOptions> = {}): ReturnType<typeof send> {
  return send(makeSender({ ca: certificates.ca, ...options }), url);
}

describe('https', () => {
  it('delivers to a certificate of a further authority and times the handshake', async () => {
    const receiver = await secureReceiver('good');
    const exchange = await sendTrusting(receiver.url());
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, remoteAddress: '127.0.0.1' });
    expect(exchange.connectMs).toBeGreaterThan(0);
    expect(exchange.tlsMs).toBeGreaterThan(0);
  });

  it('shows the host name to the server, speaks HTTP/1.1 only, and dials the checked address', async () => {
    const seen: { servername: string | false | null; alpn: string | false | null }[] = [];
    const receiver = await receive(ok, {
      tls: { ...certificates.good, ALPNProtocols: ['h2', 'http/1.1'] },
      onSocket: (socket) => {
        const { servername, alpnProtocol } = socket as TLSSocket & { servername: string | false };
        seen.push({ servername, alpn: alpnProtocol });
      },
    });
    const dns = await startFakeDns((_name, type) => (type === 'A' ? ['127.0.0.1'] : []));
    const resolver = createResolver({ servers: [dns.server], hostsFile: null });
    const exchange = await sendTrusting(`https://hooks.example.com:${receiver.port}/`, { resolver });
    expect(exchange).toMatchObject({ statusCode: 200, remoteAddress: '127.0.0.1' });
    expect(seen).toEqual([{ servername: 'hooks.example.com', alpn: 'http/1.1' }]);
  });

  it('checks the certificate against an IP literal too', async () => {
    const receiver = await receive(ok, { host: '127.0.0.2', tls: certificates.good });
    const exchange = await sendTrusting(receiver.url());
    expect(exchange).toMatchObject({ statusCode: null, reason: 'tls_wrong_host' });
  });

  it.each<[Exclude<keyof Certificates, 'ca'>, string, string]>([
    ['expired', 'tls_expired', 'CERT_HAS_EXPIRED'],
    ['notYetValid', 'tls_untrusted', 'CERT_NOT_YET_VALID'],
    ['wrongHost', 'tls_wrong_host', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['selfSigned', 'tls_untrusted', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  ])('names what is wrong with a certificate: %s is %s', async (name, reason, code) => {
    const receiver = await secureReceiver(name);
    const exchange = await sendTrusting(`https://localhost:${receiver.port}/`);
    expect(exchange).toMatchObject({ statusCode: null, reason });
    expect(exchange.detail).toContain(code);
    expect(receiver.bytes).toBe(0);
  });

  it('does not trust an authority that nobody named', async () => {
    const receiver = await secureReceiver('good');
    const exchange = await send(makeSender(), receiver.url());
    expect(exchange).toMatchObject({ statusCode: null, reason: 'tls_untrusted' });
    expect(receiver.bytes).toBe(0);
  });

  it('cannot be told by the environment to trust everything', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => warned.mockRestore());
    const receiver = await secureReceiver('selfSigned');
    expect(await sendTrusting(receiver.url())).toMatchObject({ reason: 'tls_untrusted' });
  });

  it('gives up on a handshake that stalls at the deadline', async () => {
    const receiver = await receive(() => {});
    const exchange = await send(makeSender(), `https://127.0.0.1:${receiver.port}/`, { timeoutMs: 200 });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'tls_timeout' });
    expect(exchange.tlsMs).toBeGreaterThan(100);
    expect(exchange.totalMs).toBeLessThan(2_500);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['speaks plain HTTP', (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))],
    ['closes', (socket) => void socket.once('data', () => socket.end())],
    ['resets', (socket) => void socket.once('data', () => socket.resetAndDestroy())],
  ])('names a handshake failed when the server %s', async (_title, onSocket) => {
    const receiver = await receive(() => {}, { onSocket });
    const exchange = await send(makeSender(), `https://127.0.0.1:${receiver.port}/`);
    expect(exchange).toMatchObject({ statusCode: null, reason: 'tls_failed' });
    expect(exchange.detail).not.toBe('');
  });

  it('refuses TLS 1.1, even where the process was started to allow it', async () => {
    const before = { version: tls.DEFAULT_MIN_VERSION, ciphers: tls.DEFAULT_CIPHERS };
    tls.DEFAULT_MIN_VERSION = 'TLSv1';
    tls.DEFAULT_CIPHERS = 'DEFAULT@SECLEVEL=0';
    onTestFinished(() => {
      tls.DEFAULT_MIN_VERSION = before.version;
      tls.DEFAULT_CIPHERS = before.ciphers;
    });
    const receiver = await receive(ok, { tls: { ...certificates.good, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } });
    expect(await sendTrusting(receiver.url())).toMatchObject({ statusCode: null, reason: 'tls_failed' });
  });

  it('keeps a connection for reuse', async () => {
    const receiver = await secureReceiver('good');
    const sender = makeSender({ ca: certificates.ca });
    await send(sender, receiver.url());
    const second = await send(sender, receiver.url());
    expect(second).toMatchObject({ statusCode: 200, connectMs: null, tlsMs: null });
    expect(receiver.connections).toBe(1);
  });
});

it('refuses to start with an authority that is no PEM', () => {
  expect(() => makeSender({ ca: 'not a certificate' })).toThrow();
});
