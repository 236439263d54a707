// Checks that imports under src/ follow the way of the data, as ARCHITECTURE.md draws it. Prints `file:line` and the
// rule for each that does not. `node scripts/check-imports.ts [folder]`; the folder is src/ unless given.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';

/** What each part of src/ may import besides itself. A part is a folder, or a file at the top without its ending. */
const allowed: Record<string, readonly string[]> = {
  model: [],
  version: [],
  errors: ['model'],
  wire: ['errors', 'model', 'version'],
  transport: ['errors', 'model', 'version'],
  store: ['errors', 'model', 'version'],
  'store/sqlite': ['store', 'errors', 'model', 'version'],
  'store/postgres': ['store', 'errors', 'model', 'version'],
  delivery: ['store', 'transport', 'wire', 'errors', 'model', 'version'],
  outbox: ['delivery', 'store', 'errors', 'model', 'version'],
  api: ['delivery', 'store', 'transport', 'wire', 'errors', 'model', 'version'],
  // Settings are checked by those whose they are; nothing below the composition root knows where a value came from.
  config: ['transport', 'wire', 'errors', 'model', 'version'],
  posthorn: [
    ...['api', 'outbox', 'delivery', 'store', 'store/sqlite', 'store/postgres', 'transport', 'wire'],
    ...['config', 'errors', 'model', 'version'],
  ],
  // From one store to another, both closed: the only other place that knows the adapters.
  move: ['store', 'store/sqlite', 'store/postgres', 'errors', 'model', 'version'],
  // Beside the server, which it reaches through its API alone.
  ingest: ['errors', 'model', 'version'],
  library: ['posthorn', 'api', 'delivery', 'store', 'transport', 'wire', 'config', 'errors', 'model', 'version'],
  index: [
    'library',
    'posthorn',
    'api',
    'delivery',
    'store',
    'transport',
    'wire',
    'config',
    'errors',
    'model',
    'version',
  ],
  cli: [
    'index',
    'posthorn',
    'move',
    'ingest',
    'api',
    'delivery',
    'store',
    'transport',
    'wire',
    'config',
    'errors',
    'model',
    'version',
  ],
};

/** Built-in modules that touch the world; the model decides and does nothing else. */
const worldly =
  /^node:(fs|net|tls|dns|http|https|http2|dgram|child_process|cluster|worker_threads|timers|readline)(\/|$)/;

/**
 * @param folder the source folder, absolute or relative to the working directory
 * @returns one line for each import that breaks a rule: `path:line: importer → imported (rule)`
 */
export function checkImports(folder: string): string[] {
  const root = resolve(folder);
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return files.sort().flatMap((file) => checkFile(root, file));
}

function checkFile(root: string, file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const part = partOf(file);
  const faults: string[] = [];
  // preProcessFile finds static, dynamic, type-only and re-exported imports alike.
  for (const { fileName, pos } of ts.preProcessFile(text).importedFiles) {
    const rule = brokenRule(root, file, part, fileName);
    if (rule === null) continue;
    const line = text.slice(0, pos).split('\n').length;
    faults.push(`${relative(process.cwd(), join(root, file))}:${line}: ${part} → ${fileName} (${rule})`);
  }
  return faults;
}

function brokenRule(root: string, file: string, part: string, specifier: string): string | null {
  const mayImport = allowed[part];
  if (mayImport === undefined) return `no part of the house is called ${part}: add it to scripts/check-imports.ts`;
  if (!specifier.startsWith('.')) {
    return part === 'model' && worldly.test(specifier) ? 'the model does no I/O and has no clock' : null;
  }
  const target = relative(root, resolve(root, dirname(file), specifier));
  if (target.startsWith('..')) return 'src imports nothing outside src: it must also work from dist';
  const targetPart = partOf(target);
  if (targetPart === part || mayImport.includes(targetPart)) return null;
  if (targetPart.startsWith('store/')) return 'only posthorn.ts names the stores’ adapters';
  return `${part} may import ${mayImport.length > 0 ? mayImport.join(', ') : 'nothing but itself'}`;
}

function partOf(file: string): string {
  const [first = '', second = '', ...deeper] = file.split(sep);
  if (second === '') return first.replace(/\.ts$/, '');
  // The adapters are parts of their own; what lies beside the port serves all of them.
  const isAdapter = first === 'store' && deeper.length > 0 && second !== 'records';
  return isAdapter ? `${first}/${second}` : first;
}

if (import.meta.main) {
  const faults = checkImports(process.argv[2] ?? join(import.meta.dirname, '..', 'src'));
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
