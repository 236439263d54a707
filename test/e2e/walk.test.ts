import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { startProcess, type PosthornProcess } from './process.ts';
import { startReceiver, type Receiver } from './receiver.ts';
import { dataDir } from './server.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const curls = [...readme.matchAll(/^curl -X POST [^\n]*\\\n[^\n]*$/gm)].map(([command]) => command);

describe('the walk in the README', () => {
  const data = dataDir();
  let posthorn: PosthornProcess;
  let receiver: Receiver;

  beforeAll(async () => {
    receiver = await startReceiver();
    posthorn = await startProcess(data.path);
  });

  afterAll(async () => {
    await posthorn.end('SIGTERM');
    await receiver.close();
    data.remove();
  });

  it('registers an endpoint and sends an event with the two curls as they are written, and the receiver verifies it', async () => {
    expect(curls).toHaveLength(2);
    const run = async (command: string): Promise<Record<string, string>> => {
      const here = command
        .replace('http://localhost:3001', posthorn.client.base)
        .replace('http://127.0.0.1:9000', receiver.url('').replace(/\/$/, ''));
      const { stdout } = await promisify(execFile)('sh', ['-c', `${here} -sS`]);
      return JSON.parse(stdout) as Record<string, string>;
    };
    const webhook = await run(curls[0]!);
    const startedAt = Date.now();
    const event = await run(curls[1]!);
    const request = await receiver.waitFor(({ path }) => path === '/hook');
    expect(request.headers['webhook-id']).toBe(event.id);
    expect(request.at - startedAt).toBeLessThan(1000);
    const body = new Webhook(webhook.secret!).verify(request.body, request.headers as Record<string, string>);
    expect(body).toMatchObject({ type: 'grant.created', data: { grantId: 'grnt_01' } });
  });

  it('ends at the example receiver, which tells a genuine request from a forged one', async () => {
    const { client } = posthorn;
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const child = spawn(process.execPath, ['examples/receiver.mjs', '0', secret], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    let onLine = (): void => undefined;
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      onLine();
    });
    const lineWith = (text: string): Promise<string> =>
      new Promise((resolve) => {
        onLine = () => {
          const line = lines.find((one) => one.includes(text));
          if (line !== undefined) resolve(line);
        };
        onLine();
      });
    try {
      const url = /http:\S+/.exec(await lineWith('Waiting for webhooks'))![0];
      await client.webhook(url, ['example.sent'], { secret });
      const { id } = await client.event('example.sent', { n: 1 });
      expect(await lineWith(id)).toMatch(/ genuine$/);
      const forged = await fetch(url, { method: 'POST', body: '{}', headers: { 'webhook-id': 'evt_forged' } });
      expect(forged.status).toBe(401);
      expect(await lineWith('evt_forged')).toMatch(/NOT GENUINE$/);
    } finally {
      child.kill();
    }
  });

  it('is what `posthorn dev` prints: the address, the key, the two curls, and where the data lies', () => {
    const printed = posthorn.output();
    expect(printed).toContain(posthorn.client.base);
    expect(printed).toContain('dev-api-key-local');
    expect(printed).toContain(data.path);
    for (const command of curls) {
      const wanted = command
        .replace(/http:\/\/localhost:3001/, '')
        .split(/\s+/)
        .filter((word) => word.length > 20);
      for (const word of wanted) expect(printed).toContain(word.replace(/^'|'$/g, '').slice(0, 60));
    }
  });
});
