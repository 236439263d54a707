import { readFileSync } from 'node:fs';

const packageFile = new URL('../package.json', import.meta.url);

/** The version of the product, from package.json, which lies one folder up both in `src` and in `dist`. */
export const version = (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version;
