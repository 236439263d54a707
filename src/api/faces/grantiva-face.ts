import Type from 'typebox';
import { errorTable, type ErrorCode, type PosthornError } from '../../errors.ts';
import type { Face } from '../face.ts';
import { knownError, MAX_FIELDS, problemHeaders } from '../problem.ts';

const CONTENT_TYPE = 'application/json; charset=utf-8';
const PREFIX = '/api/v1/org';

/** Stable words of the contract by status; what has none there is named after its status too. */
const codes: Readonly<Record<number, string>> = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'request_timeout',
  409: 'conflict',
  413: 'payload_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
  422: 'unprocessable_entity',
  429: 'rate_limited',
  431: 'request_header_fields_too_large',
  500: 'internal_error',
  503: 'service_unavailable',
};

/** Statuses that differ from those of the table. */
const statuses: Partial<Record<ErrorCode, number>> = {
  PLAN_LIMIT_EXCEEDED: 403,
  PLAN_FEATURE_REQUIRED: 403,
  INVALID_STATE: 422,
};

/** What is no field of the request's own: a body that is no JSON, a path, a header. */
const noFields = new Set(['body', 'path', 'Posthorn-Tenant', 'Idempotency-Key']);

function isValidation({ code, fields }: PosthornError): boolean {
  return code === 'BAD_REQUEST' && fields.some(({ field }) => !noFields.has(field));
}

/** The Grantiva contract: `{error, code, hint, requestId, fields}`. */
export const grantiva: Face = {
  name: 'grantiva',
  credentials: 'bearer',
  rateLimitReset: 'unix',
  owns: (path) => path === PREFIX || path.startsWith(`${PREFIX}/`),
  problemOf(error, requestId) {
    const known = knownError(error);
    const invalid = isValidation(known);
    const status = invalid ? 422 : (statuses[known.code] ?? known.status);
    const isOfPlan = known.code.startsWith('PLAN_');
    // That of a 400 speaks of fields, which only a 422 has here; its message says what to do.
    const remedy = known.code === 'BAD_REQUEST' ? '' : errorTable[known.code].remedy;
    const body = JSON.stringify({
      error: known.message,
      code: isOfPlan ? known.code.toLowerCase() : (codes[status] ?? known.code.toLowerCase()),
      ...(known.message.includes(remedy) ? {} : { hint: remedy }),
      requestId,
      ...(invalid ? { fields: known.fields.slice(0, MAX_FIELDS) } : {}),
    });
    const headers = problemHeaders(known, requestId, { contentType: CONTENT_TYPE, challenge: 'Bearer' });
    return { status, headers, body };
  },
  errors: {
    contentType: 'application/json',
    schema: Type.Object(
      {
        error: Type.String({ description: 'What is wrong, for people.' }),
        code: Type.String({ description: 'Stable: `not_found`, `unprocessable_entity`, `plan_limit_exceeded`, …' }),
        hint: Type.Optional(Type.String({ description: 'What to do about it.' })),
        requestId: Type.String({ description: 'As `x-request-id`.' }),
        fields: Type.Optional(
          Type.Array(Type.Object({ field: Type.String(), message: Type.String() }), {
            description: 'The fields that are wrong; with 422 only.',
          }),
        ),
      },
      { title: 'GrantivaError' },
    ),
    statusesOf: (code) => (code === 'BAD_REQUEST' ? [400, 422] : [statuses[code] ?? errorTable[code].status]),
  },
};
