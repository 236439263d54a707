import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { preparePython } from '../../scripts/python.ts';
import { loopbackOnly, startProcess, type PosthornProcess } from '../e2e/process.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { dataDir } from '../e2e/server.ts';

const root = join(import.meta.dirname, '../..');
/** Pages whose every snippet runs, in their order, against a server of the page's own. */
const pages = [
  'README.md',
  'docs/library.md',
  ...readdirSync(join(root, 'docs/coming-from')).map((name) => join('docs/coming-from', name)),
];
/** Inside the package, so that its own name and its dependencies are found; removed at the end. */
const cache = join(root, 'test/docs/.snippets');
const SOURCE = 'posthorn-source';

interface Snippet {
  language: string;
  text: string;
  /** Of the page: where the snippet begins. */
  line: number;
}

function snippetsOf(page: string): Snippet[] {
  const markdown = readFileSync(join(root, page), 'utf8');
  const snippets = [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
    ({ 1: language = '', 2: text = '', index }) => ({
      language,
      text,
      line: markdown.slice(0, index).split('\n').length,
    }),
  );
  // What the README has for the shell is a walk of its own: see test/e2e/walk.test.ts.
  return page === 'README.md' ? snippets.filter(({ language }) => language === 'ts') : snippets;
}

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  customConditions: [SOURCE],
  allowImportingTsExtensions: true,
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  types: ['node'],
};

let receiver: Receiver;
beforeAll(async () => {
  mkdirSync(cache, { recursive: true });
  receiver = await startReceiver();
});
afterAll(async () => {
  await receiver.close();
  rmSync(cache, { recursive: true, force: true });
});

describe.each(pages)('%s', (page) => {
  const snippets = snippetsOf(page);
  const data = dataDir();
  let folder: string;
  let posthorn: PosthornProcess;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'posthorn-page-'));
    posthorn = await startProcess(data.path, [], loopbackOnly);
  });
  afterAll(async () => {
    await posthorn.end('SIGTERM');
    data.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The snippet with the addresses of this test's server and receiver. */
  function here(text: string): string {
    return text
      .replaceAll('http://localhost:3001', posthorn.client.base)
      .replaceAll('http://127.0.0.1:9000', receiver.url('').replace(/\/$/, ''));
  }

  async function run(command: string, argv: readonly string[], stdin = ''): Promise<string> {
    const child = spawn(command, argv, {
      cwd: folder,
      env: { ...process.env, POSTHORN_URL: posthorn.client.base, POSTHORN_API_KEY: 'dev-api-key-local', NO_COLOR: '1' },
      stdio: 'pipe',
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stdin.end(stdin);
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code, output).toBe(0);
    return output;
  }

  it('has snippets only in languages that are run here', () => {
    expect(snippets.length).toBeGreaterThan(0);
    for (const { language, line } of snippets) expect(['sh', 'ts', 'python'], `line ${line}`).toContain(language);
  });

  // Shell first: what they set up stays for the programs, and what one sets is there for the next.
  it('its shell snippets run one after the other', async () => {
    const script = snippets
      .filter(({ language }) => language === 'sh')
      .map(({ text }) =>
        here(text).replaceAll('npm run posthorn --', `'${process.execPath}' '${join(root, 'bin/posthorn.js')}'`),
      )
      .join('\n');
    if (script !== '') await run('bash', ['-euo', 'pipefail', '-s'], script);
  });

  it('its TypeScript compiles', () => {
    const files = snippets
      .filter(({ language }) => language === 'ts')
      .map(({ text, line }) => {
        const file = join(cache, `${page.replaceAll(/\W/g, '-')}-${line}.mts`);
        writeFileSync(file, text);
        return file;
      });
    const program = ts.createProgram(files, compilerOptions);
    const faults = files.flatMap((file) => ts.getPreEmitDiagnostics(program, program.getSourceFile(file)));
    expect(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  for (const { language, text, line } of snippets) {
    if (language === 'ts') {
      it(`its TypeScript of line ${line} runs`, async () => {
        const { outputText } = ts.transpileModule(here(text), {
          compilerOptions: { target: compilerOptions.target!, module: ts.ModuleKind.ESNext },
        });
        const file = join(cache, `${page.replaceAll(/\W/g, '-')}-${line}-run.mjs`);
        writeFileSync(file, outputText);
        await run(process.execPath, [...loopbackOnly, `--conditions=${SOURCE}`, file]);
      });
    } else if (language === 'python') {
      it(`its Python of line ${line} runs`, { timeout: 300_000 }, async () => {
        await run(preparePython(), ['-'], here(text));
      });
    }
  }
});
