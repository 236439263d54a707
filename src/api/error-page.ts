import { errorTable, type ErrorCode } from '../errors.ts';
import { anchorOf } from './problem.ts';
import { HtmlText, route, type Route } from './route.ts';

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}' +
  'h2{font:600 1.1rem ui-monospace,monospace;margin:2rem 0 0}p{margin:.25rem 0}';

const sections = (Object.keys(errorTable) as ErrorCode[]).map((code) => {
  const { status, title, remedy } = errorTable[code];
  return `<h2 id="${anchorOf(code)}">${code}</h2><p>${status} · ${escape(title)}.</p><p>${escape(remedy)}</p>`;
});

const page =
  '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">' +
  `<title>Errors of Posthorn</title><style>${STYLE}</style><h1>Errors</h1>` +
  '<p>Decide by <code>code</code>, which is stable; <code>message</code> is for people. The operator finds a ' +
  `request in the log by its <code>requestId</code>.</p>${sections.join('')}</html>`;

/** Where the `type` of every problem leads. */
export const errorPageRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/errors',
    role: 'public',
    id: 'getErrors',
    tag: 'Health',
    summary: 'What the errors mean, for people',
    answer: { status: 200, description: 'A page with a place for each code.', isHtml: true },
    handle: () => new HtmlText(page),
  }),
];

function escape(text: string): string {
  const html = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return html.replaceAll(/`([^`]*)`/g, '<code>$1</code>');
}
