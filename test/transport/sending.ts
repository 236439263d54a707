import { onTestFinished } from 'vitest';
import { createSender } from '../../src/transport/transport.ts';
import type { Exchange, Sender, SenderOptions, SendRequest } from '../../src/transport/transport.ts';
import { development } from './policies.ts';

/** A sender for one test, by default under the development policy, closed when the test ends. */
export function makeSender(options: Partial<SenderOptions> = {}): Sender {
  const sender = createSender({ policy: development, ...options });
  onTestFinished(() => sender.close(0));
  return sender;
}

/** Sends one small request and waits for what happened. */
export function send(sender: Sender, url: string, request: Partial<SendRequest> = {}): Promise<Exchange> {
  return new Promise((resolve) => {
    const headers = ['Content-Type', 'application/json'];
    sender.send({ url, headers, body: Buffer.from('{"a":1}'), timeoutMs: 5_000, ...request }, resolve);
  });
}
