import { MARK_MEMBER } from './mark.ts';

export interface LoadPlan {
  port: number;
  apiKey: string;
  /** Used in turn, one event each. */
  types: string[];
  connections: number;
  mode: 'closed' | 'open';
  /** Open loop only: events a second. */
  ratePerSecond?: number;
  /** Ends after this time or that many events, whichever is first. */
  durationMs: number;
  events?: number;
  /** Size of an event's `data`, bytes. */
  dataBytes: number;
}

/** The whole request, with a mark to patch. Its data looks like a small business event, filled up to the size wanted. */
export function buildRequest(plan: LoadPlan, type: string): Buffer {
  const start = `{${MARK_MEMBER},"grantId":"grnt_01","agentId":"ag_01","principalId":"user-123","note":"`;
  const data = `${start}${'x'.repeat(Math.max(0, plan.dataBytes - start.length - 2))}"}`;
  const body = `{"type":"${type}","data":${data}}`;
  const head = [
    'POST /v1/events HTTP/1.1',
    `host: 127.0.0.1:${plan.port}`,
    `authorization: Bearer ${plan.apiKey}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}
