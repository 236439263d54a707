import Type from 'typebox';
import { errorTable, type ErrorCode } from '../../errors.ts';
import type { Face } from '../face.ts';
import { PROBLEM_CONTENT_TYPE, problemOf } from '../problem.ts';

const text = (description: string) => Type.String({ description });

/** The native way of speaking, which is that of the Grantex contract too. */
export const native: Face = {
  name: 'posthorn',
  credentials: 'bearer',
  rateLimitReset: 'seconds',
  owns: () => true,
  problemOf,
  errors: {
    contentType: PROBLEM_CONTENT_TYPE,
    schema: Type.Object(
      {
        type: text('Where it is described: a place in the page of errors.'),
        title: text('The same for every error of this code.'),
        status: Type.Integer(),
        detail: text('What is wrong with this request, and what to do about it.'),
        code: Type.Unsafe<ErrorCode>({ type: 'string', enum: Object.keys(errorTable) }),
        message: text('As `detail`.'),
        requestId: text('As `x-request-id`.'),
        errors: Type.Optional(
          Type.Array(Type.Object({ field: text('`events[0].type`'), message: text('What to do about it.') }), {
            description: 'The fields that are wrong.',
          }),
        ),
      },
      { title: 'Problem', description: 'An error (RFC 9457).' },
    ),
    statusesOf: (code) => [errorTable[code].status],
  },
};
