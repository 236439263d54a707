import { concat, utf8 } from '../verify/bytes.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as Node's own types have it
type Listener = (...given: any[]) => void;

/** A request of node:http, as far as it is used here. */
export interface NodeRequest {
  headers: Record<string, string | string[] | undefined>;
  readableEnded?: boolean;
  on(event: string, listener: Listener): unknown;
  off(event: string, listener: Listener): unknown;
}

/** A response of node:http, as far as it is used here. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(text: string): unknown;
}

/** The whole body; null where it is larger than allowed, and then the rest is not read. */
export function readBody(request: NodeRequest, maxBytes: number): Promise<Uint8Array | null> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    const settle = (act: () => void): void => {
      request.off('data', take);
      request.off('end', end);
      request.off('error', reject);
      request.off('close', close);
      act();
    };
    const take = (given: Uint8Array | string): void => {
      // Text, where something before this set an encoding.
      const chunk = typeof given === 'string' ? utf8(given) : given;
      length += chunk.length;
      chunks.push(chunk);
      if (length > maxBytes) {
        settle(() => {
          resolve(null);
        });
      }
    };
    const end = (): void => {
      settle(() => {
        resolve(concat(chunks));
      });
    };
    const close = (): void => {
      settle(() => {
        reject(new Error('The connection was closed before the whole body had arrived.'));
      });
    };
    request.on('data', take);
    request.on('end', end);
    request.on('error', reject);
    request.on('close', close);
  });
}

/** Answers with JSON and, as part of the request may be unread, closes the connection. */
export function answer(response: NodeResponse, status: number, body: unknown): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  if (status === 413) response.setHeader('connection', 'close');
  response.end(JSON.stringify(body));
}
