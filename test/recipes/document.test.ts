import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const document = 'docs/verify-in-other-languages.md';
const text = readFileSync(join(root, document), 'utf8');

const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, content]) => ({ language, content }));

test.each([
  ['java', 'examples/verify/java/Verify.java'],
  ['rust', 'examples/verify/rust/src/lib.rs'],
  ['sh', 'examples/verify/shell/verify.sh'],
])('the page shows the %s recipe as it is tested', (language, file) => {
  const shown = blocks.find((block) => block.language === language);
  expect(shown?.content).toBe(readFileSync(join(root, file), 'utf8'));
  expect(text).toContain(`[${file}](../${file})`);
});

test('the page names the crates that the Rust recipe has', () => {
  const manifest = readFileSync(join(root, 'examples/verify/rust/Cargo.toml'), 'utf8');
  const crates = [...manifest.split('[dependencies]')[1]!.matchAll(/^(\w+) = /gm)].map(([, name]) => name);
  expect(crates).toHaveLength(4);
  for (const name of crates) expect(text).toContain(`\`${name}\``);
});

test('the links of the page lead somewhere', () => {
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, link]) => link!);
  expect(links.length).toBeGreaterThan(5);
  for (const link of links) expect(existsSync(join(root, dirname(document), link)), link).toBe(true);
});

const noOpenssl = spawnSync('openssl', ['version']).status !== 0;

test.skipIf(noOpenssl)(
  'with openssl here, the command of the page says that the public example of Standard Webhooks is genuine',
  () => {
    const command = blocks.at(-1)!.content!;
    const run = (script: string): string => spawnSync('sh', ['-c', script], { cwd: root, encoding: 'utf8' }).stdout;
    expect(run(command)).toBe('genuine\n');
    expect(run(command.replace('2432232314', '2432232315'))).toBe('');
  },
);
