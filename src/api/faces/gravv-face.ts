import Type from 'typebox';
import { errorTable } from '../../errors.ts';
import type { Face } from '../face.ts';
import { knownError, problemHeaders } from '../problem.ts';

const CONTENT_TYPE = 'application/json; charset=utf-8';
const OWN = /^\/v1\/webhooks\/(history\/?$|event\/|calls\/)/;

/** The Gravv contract: `{data, error}`, one of the two null, the error a sentence. */
export const gravv: Face = {
  name: 'gravv',
  credentials: 'api-key',
  rateLimitReset: 'seconds',
  owns: (path) => OWN.test(path),
  problemOf(error, requestId) {
    const known = knownError(error);
    const body = JSON.stringify({ data: null, error: known.message });
    const headers = problemHeaders(known, requestId, { contentType: CONTENT_TYPE, challenge: 'Api-Key' });
    return { status: known.status, headers, body };
  },
  errors: {
    contentType: 'application/json',
    schema: Type.Object(
      { data: Type.Null(), error: Type.String({ description: 'What is wrong, and what to do about it.' }) },
      { title: 'GravvError' },
    ),
    statusesOf: (code) => [errorTable[code].status],
  },
};
