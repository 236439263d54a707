// Builds dist/ for publishing, of the product and of the TypeScript SDK: JavaScript and declarations from src/, and
// beside them the files that are not code.
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

for (const folder of [root, join(root, 'sdk/typescript')]) {
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  const compiler = [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(folder, 'tsconfig.build.json')];
  const { status } = spawnSync(process.execPath, compiler, { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}

cpSync(join(root, 'src'), dist, {
  recursive: true,
  filter: (path) => statSync(path).isDirectory() || !path.endsWith('.ts'),
});
