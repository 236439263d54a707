// Runs the recipes of examples/verify against spec/vectors: does each say of every request what is to be said?
// `node scripts/recipes.ts` runs them all.
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'examples/verify');

export interface RecipeTally {
  passed: number;
  failed: number;
  skipped: number;
}

interface Vector {
  title: string;
  expected: string;
  request: { headers: Record<string, string>; body: string };
  secrets: string[];
  now: number;
}

/** One question for a recipe: one request and one secret. */
interface Question {
  format: string;
  nowSeconds: number;
  secret: string;
  body: string;
  /** Null: the header is missing. */
  id: string | null;
  timestamp: string | null;
  signature: string | null;
  alternate: string | null;
  second: string | null;
  secondAlternate: string | null;
}

/** The signature headers of each format that the recipes are for. */
const signatureHeaders: Record<string, string> = {
  standard: 'webhook-signature',
  grantex: 'x-grantex-signature',
  grantiva: 'x-grantiva-signature',
  gravv: 'x-gravv-signature',
  lexigram: 'x-webhook-signature',
};

interface Recipe {
  language: string;
  /** What is missing and how to get it; null where all is here. */
  missing: () => string | null;
  /** One answer for each question. Throws an Error where the recipe cannot be built or run. */
  answer: (questions: readonly Question[]) => Promise<boolean[]>;
}

const recipes: readonly Recipe[] = [
  {
    language: 'Java',
    missing: () =>
      lacking('javac', ['-version'], 'a JDK of version 17 or newer (Debian: apt-get install openjdk-17-jdk)'),
    async answer(questions) {
      const classes = mkdtempSync(join(tmpdir(), 'posthorn-java-'));
      try {
        const sources = ['Verify.java', 'Check.java'].map((name) => join(folder, 'java', name));
        await run('javac', ['-Xlint:all', '-Werror', '-d', classes, ...sources]);
        return readAnswers(await run('java', ['-cp', classes, 'Check'], lines(questions)));
      } finally {
        rmSync(classes, { recursive: true, force: true });
      }
    },
  },
  {
    language: 'Rust',
    missing: () => lacking('cargo', ['--version'], 'Rust with cargo (rustup.rs)'),
    async answer(questions) {
      // Kept between runs: what the recipe depends on takes a quarter of a minute to build.
      const target = join(root, 'node_modules/.cache/verify-rust');
      mkdirSync(target, { recursive: true });
      const argv = ['run', '--locked', '--quiet', '--manifest-path', join(folder, 'rust/Cargo.toml')];
      return readAnswers(await run('cargo', [...argv, '--target-dir', target], lines(questions)));
    },
  },
  {
    language: 'shell',
    missing: () =>
      lacking('sh', ['-c', 'command -v od'], 'a POSIX shell') ?? lacking('openssl', ['version'], 'openssl'),
    async answer(questions) {
      const answers: boolean[] = [];
      for (const question of questions) answers.push(await answerInShell(question));
      return answers;
    },
  },
];

/**
 * Runs every recipe whose toolchain is here, and prints what went wrong. One count for each language and format; those
 * of a toolchain that is not here are skipped, and named.
 */
export async function runRecipes(): Promise<RecipeTally> {
  const tally: RecipeTally = { passed: 0, failed: 0, skipped: 0 };
  const vectors = Object.keys(signatureHeaders).map((format) => ({ format, vectors: readVectors(format) }));
  for (const recipe of recipes) {
    const missing = recipe.missing();
    if (missing !== null) {
      console.log(`- SKIPPED: the ${recipe.language} recipe is not verified; it needs ${missing}`);
      tally.skipped += vectors.length;
      continue;
    }
    // Each request as often as it has secrets: the recipes take one.
    const asked = vectors.flatMap(({ format, vectors }) =>
      vectors.flatMap((vector) =>
        vector.secrets.map((secret) => ({ vector, question: toQuestion(format, vector, secret) })),
      ),
    );
    let answers: boolean[];
    try {
      answers = await recipe.answer(asked.map(({ question }) => question));
      if (answers.length !== asked.length) throw new Error(`${answers.length} answers to ${asked.length} questions`);
    } catch (error) {
      console.log(`✗ ${recipe.language} recipe: ${error instanceof Error ? error.message : String(error)}`);
      tally.failed += vectors.length;
      continue;
    }
    const genuine = new Set(asked.filter((_, i) => answers[i]).map(({ vector }) => vector));
    for (const { format, vectors: ofFormat } of vectors) {
      const wrong = ofFormat.filter((vector) => genuine.has(vector) !== (vector.expected === 'ok'));
      for (const { title, expected } of wrong) {
        console.log(`✗ ${recipe.language} recipe, ${format}, ${title}: to be ${expected}, and it said otherwise`);
      }
      tally[wrong.length === 0 ? 'passed' : 'failed']++;
    }
  }
  return tally;
}

function readVectors(format: string): Vector[] {
  const file = JSON.parse(readFileSync(join(root, 'spec/vectors', `${format}.json`), 'utf8')) as { vectors: Vector[] };
  // A recipe is given one value for each header; what a server makes of two is not its business.
  return file.vectors.filter(({ request }) => !Object.values(request.headers).some(Array.isArray));
}

function toQuestion(format: string, { request, now }: Vector, secret: string): Question {
  const headers = new Map(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const header = (name: string): string | null => headers.get(name) ?? null;
  const signature = signatureHeaders[format]!;
  return {
    format,
    nowSeconds: Math.floor(now / 1000),
    secret,
    body: request.body,
    id: header('webhook-id'),
    timestamp: header(format === 'standard' ? 'webhook-timestamp' : 'x-grantex-timestamp'),
    signature: header(signature),
    alternate: header(`${signature}-alternate`),
    second: header('x-grantex-signature-v2'),
    secondAlternate: header('x-grantex-signature-v2-alternate'),
  };
}

/** As Check.java and main.rs read them. */
function lines(questions: readonly Question[]): string {
  const base64 = (text: string | null): string => (text === null ? '-' : Buffer.from(text).toString('base64'));
  return questions
    .map(({ format, nowSeconds, secret, body, id, timestamp, signature, alternate, second, secondAlternate }) =>
      [format, nowSeconds, ...[secret, body, id, timestamp, signature, alternate, second, secondAlternate].map(base64)]
        .join('\t')
        .concat('\n'),
    )
    .join('');
}

function readAnswers(output: string): boolean[] {
  return output
    .trim()
    .split(/\r?\n/)
    .map((line) => line === 'true');
}

async function answerInShell(question: Question): Promise<boolean> {
  const { format, secret, id, timestamp, signature, alternate, second, secondAlternate } = question;
  if (format === 'standard') {
    return id !== null && timestamp !== null && signature !== null
      ? isGenuine(question, ['standard', secret, id, timestamp, signature])
      : false;
  }
  const body = (value: string | null): Promise<boolean> => isGenuine(question, ['body', secret, value ?? '']);
  if (signature === null || !((await body(signature)) || (alternate !== null && (await body(alternate))))) return false;
  if (format !== 'grantex') return true;
  if (timestamp === null || second === null) return false;
  const stamped = (value: string): Promise<boolean> => isGenuine(question, ['timestamped', secret, timestamp, value]);
  return (await stamped(second)) || (secondAlternate !== null && (await stamped(secondAlternate)));
}

async function isGenuine({ body, nowSeconds }: Question, argv: readonly string[]): Promise<boolean> {
  const { code, stderr } = await start('sh', [join(folder, 'shell/verify.sh'), ...argv], body, {
    NOW: String(nowSeconds),
  });
  // 2: a secret that cannot be one, which is a refusal too. Anything else is a fault of the recipe.
  if (code > 2) throw new Error(`verify.sh ended with ${code}: ${stderr}`);
  return code === 0;
}

function lacking(command: string, argv: readonly string[], what: string): string | null {
  return spawnSync(command, argv, { stdio: 'ignore' }).status === 0 ? null : what;
}

async function run(command: string, argv: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await start(command, argv, input);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr.trim()}`);
  return stdout;
}

function start(
  command: string,
  argv: readonly string[],
  input: string,
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(command, argv, options, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number')
        reject(new Error(`${command} did not run: ${error.message}`, { cause: error }));
      else resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    // Whoever ends before reading all of it says so by its exit code.
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
  });
}

if (import.meta.main) {
  const { passed, failed, skipped } = await runRecipes();
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}
