// Runs every generator: `npm run generate` writes the generated files, `--check` fails when one of them is stale.
// A generator is a script beside this one that reads `--check` from process.argv; nothing else lists it.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const folder = import.meta.dirname;
const mode = process.argv.includes('--check') ? ['--check'] : [];

const generators = readdirSync(folder)
  .filter((file) => file.endsWith('.ts') && file !== basename(import.meta.filename))
  .filter((file) => /process\.argv.*--check/.test(readFileSync(join(folder, file), 'utf8')))
  .sort();

for (const file of generators) {
  const { status } = spawnSync(process.execPath, [join(folder, file), ...mode], { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`scripts/${file} ${mode.join('')} failed; \`npm run generate\` brings generated files up to date.`);
    process.exitCode = 1;
  }
}
