import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { faceOf } from '../../src/api/faces/face-of.ts';
import { native } from '../../src/api/faces/native.ts';
import { openApiDocument } from '../../src/api/openapi.ts';
import { routes } from '../../src/api/routes.ts';
import { parseTime } from '../../src/api/time.ts';
import { errorTable, type ErrorCode } from '../../src/errors.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents have any shape
const document = closed(JSON.parse(JSON.stringify(openApiDocument(routes, '0')))) as any;
const ajv = new Ajv2020({ strict: false, validateSchema: false });
ajv.addFormat('date-time', (text: string) => parseTime(text) !== null);
ajv.addSchema({ $id: 'openapi', ...document });
const checks = new Map<string, ValidateFunction>();
const paths = Object.keys(document.paths).map((path) => ({
  path,
  pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
}));

/** Throws where an answer is not one that the OpenAPI document tells of: status, error code, headers, every field. */
export function checkAnswer(
  method: string,
  url: string,
  answer: { status: number; headers: Headers; body: unknown; text: string },
): void {
  const say = (what: string): never => {
    throw new Error(`${method} ${url} → ${answer.status}: ${what}\n${answer.text.slice(0, 1000)}`);
  };
  if (!/^req_[0-9A-Z]{26}$/.test(answer.headers.get('x-request-id') ?? '')) say('no x-request-id');
  const isError = answer.status >= 400;
  const type = answer.headers.get('content-type');
  const face = faceOf(url.split('?')[0]!);
  if (isError) {
    if (type?.split(';')[0] !== face.errors.contentType) say(`content-type ${type}`);
    check(`#/components/schemas/${(face.errors.schema as { title?: string }).title}`, answer.body, say);
  }
  if (isError && face === native) {
    const { code, requestId } = answer.body as { code: ErrorCode; requestId: string };
    if (errorTable[code].status !== answer.status) say(`${code} has another status in the table`);
    if (requestId !== answer.headers.get('x-request-id')) say('two request ids');
  }
  const path = url.split('?')[0]!;
  // The path without parameters before the one that has a parameter in its place.
  const found = paths
    .filter(({ pattern }) => pattern.test(path))
    .sort((a, b) => (a.path.includes('{') ? 1 : 0) - (b.path.includes('{') ? 1 : 0));
  const place = found.find((one) => document.paths[one.path][method.toLowerCase()] !== undefined);
  if (place === undefined) return;
  const operation = document.paths[place.path][method.toLowerCase()];
  const response = operation.responses[answer.status];
  if (response === undefined) return say('the document has no such answer');
  if (isError) {
    if (face !== native) return;
    const { code } = answer.body as { code: ErrorCode };
    if (!JSON.stringify(response).includes(code)) say(`the document does not tell of ${code} here`);
    return;
  }
  if (response.content === undefined) {
    if (answer.text !== '') say('the document says it is empty');
    return;
  }
  if (response.content['text/html'] !== undefined) {
    if (type !== 'text/html; charset=utf-8' || !answer.text.startsWith('<!doctype html>')) say(`content-type ${type}`);
    return;
  }
  if (type !== 'application/json; charset=utf-8') say(`content-type ${type}`);
  const pointer = `#/paths/${escape(place.path)}/${method.toLowerCase()}/responses/${answer.status}/content/application~1json/schema`;
  check(pointer, answer.body, say);
}

function check(pointer: string, value: unknown, say: (what: string) => never): void {
  let validate = checks.get(pointer);
  if (!validate) checks.set(pointer, (validate = ajv.compile({ $ref: `openapi${pointer}` })));
  if (!validate(value)) say(JSON.stringify(validate.errors));
}

function escape(path: string): string {
  return encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'));
}

/** What the document does not name must not be there. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, closed(member)]));
  if (copy.type === 'object' && copy.properties !== undefined) copy.additionalProperties = false;
  return copy;
}
