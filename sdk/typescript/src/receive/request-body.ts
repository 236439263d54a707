import { concat } from '../verify/bytes.ts';

/** The whole body of a request that nobody read yet; null where it is larger than allowed, and the rest is not read. */
export async function readLimited(
  request: { body: ReadableStream | null },
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const reader = request.body?.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = (await reader?.read())?.value as Uint8Array | undefined;
    if (chunk === undefined) return concat(chunks);
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) {
      await reader?.cancel();
      return null;
    }
  }
}
