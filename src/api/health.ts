import Type from 'typebox';
import { PosthornError } from '../errors.ts';
import { JsonText, route, type Route } from './route.ts';

const tag = 'Health';
/** Orchestrators wait for a second or a few; a store that takes this long is not ready. */
const READY_MS = 2_000;

export const healthRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/healthz',
    role: 'public',
    id: 'getHealth',
    tag,
    summary: 'Is the process alive?',
    answer: {
      status: 200,
      description: 'It is.',
      schema: Type.Object({ status: Type.Literal('ok'), version: Type.String() }),
    },
    handle: ({ api }) => ({ status: 'ok', version: api.version }),
  }),
  route({
    method: 'GET',
    path: '/readyz',
    role: 'public',
    id: 'getReadiness',
    tag,
    summary: 'Can events be sent in?',
    answer: { status: 200, description: 'They can.', schema: Type.Object({ status: Type.Literal('ready') }) },
    errors: ['STORE_UNAVAILABLE', 'STORE_FULL', 'SHUTTING_DOWN'],
    async handle({ api }) {
      if (api.isStopping()) throw new PosthornError('SHUTTING_DOWN');
      try {
        await withinTime(api.engine.ready());
      } catch (cause) {
        if (cause instanceof PosthornError) throw cause;
        throw new PosthornError('STORE_UNAVAILABLE', undefined, { cause });
      }
      return { status: 'ready' };
    },
  }),
  route({
    method: 'GET',
    path: '/openapi.json',
    role: 'public',
    id: 'getOpenApi',
    tag,
    summary: 'This document',
    answer: { status: 200, description: 'OpenAPI 3.1.', schema: Type.Unsafe<object>({ type: 'object' }) },
    handle: ({ api }) => new JsonText(api.openApiJson()),
  }),
];

/** Rejects where the store keeps its answer to itself: what it says later is of no use to who asked now. */
async function withinTime(ready: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new PosthornError('STORE_UNAVAILABLE', `The store did not answer within ${READY_MS} ms.`));
    }, READY_MS);
  });
  try {
    await Promise.race([ready, late]);
  } finally {
    clearTimeout(timer);
  }
}
