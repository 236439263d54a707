import { PosthornError } from './error.ts';
import { concat, textOf } from './verify/bytes.ts';

/** The longest answers of the API, an event of a megabyte and its deliveries, are far below. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** The whole body. Rejects with a {@link PosthornError} where it does not end. */
export async function readText(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = (await reader?.read())?.value as Uint8Array | undefined;
    if (chunk === undefined) return textOf(concat(chunks));
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) {
      // Not waited for, and whatever becomes of it, the answer is not used.
      reader!.cancel().catch(() => undefined);
      throw unexpected(response, `The answer is longer than ${MAX_ANSWER_BYTES} bytes.`);
    }
  }
}

/** The JSON of a success: an object, undefined for 204. Throws a {@link PosthornError} for anything else. */
export function readAnswer(response: Response, text: string): unknown {
  if (text === '' && response.status === 204) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Without the cause, which quotes from the answer, and there may be a secret in it.
    throw unexpected(response, `The answer is not JSON. ${REMEDY}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw unexpected(response, `The answer is no JSON object. ${REMEDY}`);
}

const REMEDY = 'Is the address right, or does a proxy stand in between?';

/** The error of an answer that Posthorn does not give. */
function unexpected({ status, headers }: Response, message: string): PosthornError {
  return new PosthornError('UNEXPECTED_RESPONSE', message, { status, requestId: headers.get('x-request-id') });
}
