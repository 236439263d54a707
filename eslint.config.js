import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const guarded = 'Outbound requests go through src/transport, where the guard against private addresses is.';
const networkModules = ['undici', 'http', 'https', 'http2', 'net', 'tls', 'dns', 'dns/promises', 'dgram'];
const nodeGlobals = ['Buffer', 'process', 'console', 'URL', 'setInterval', 'clearInterval'];
const networkGlobals = ['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'];

/**
 * Bans the ways out to the network, but for the modules and globals named.
 * @param {{modules?: string[], globals?: string[]}} [allowed]
 */
function noNetwork(allowed = {}) {
  const modules = networkModules.filter((name) => !allowed.modules?.includes(name));
  const globals = networkGlobals.filter((name) => !allowed.globals?.includes(name));
  const paths = modules.flatMap((name) => [name, `node:${name}`].map((path) => restricted(path, name)));
  const names = modules.map((name) => name.replace('/', '\\/')).join('|');
  return {
    'no-restricted-imports': ['error', { paths, patterns: [{ group: ['undici/*'], message: guarded }] }],
    'no-restricted-globals': ['error', ...globals.map((name) => ({ name, message: guarded }))],
    'no-restricted-properties': [
      'error',
      ...globals.map((property) => ({ object: 'globalThis', property, message: guarded })),
    ],
    'no-restricted-syntax': [
      'error',
      { selector: `ImportExpression[source.value=/^(node:)?(${names})$/]`, message: guarded },
      { selector: `CallExpression[callee.property.name='getBuiltinModule']`, message: guarded },
    ],
  };
}

/** Reading an address is not a request: the text functions of node:net are free to all. */
function restricted(path, name) {
  const pure = ['isIP', 'isIPv4', 'isIPv6', 'BlockList', 'SocketAddress'];
  return { name: path, message: guarded, ...(name === 'net' ? { allowImportNames: pure } : {}) };
}

export default defineConfig(
  {
    ignores: [
      '**/node_modules/',
      '**/dist/',
      'coverage/',
      '.posthorn/',
      '.posthorn-postgres/',
      'bench/results/',
      'examples/outbox/prisma/generated/',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
      'prefer-const': 'error',
      'object-shorthand': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/no-deprecated': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/require-await': 'error',
    },
  },
  { files: ['src/**'], ignores: ['src/transport/**'], rules: noNetwork() },
  { files: ['src/api/**', 'src/library/**', 'src/posthorn.ts'], rules: noNetwork({ modules: ['http'] }) },
  { files: ['src/cli/**'], rules: { ...noNetwork({ globals: ['fetch'] }), 'no-console': 'off' } },
  {
    files: ['test/**', 'bench/**', 'scripts/**'],
    rules: {
      'no-console': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: Object.fromEntries(nodeGlobals.map((name) => [name, 'readonly'])) },
    rules: { 'no-console': 'off' },
  },
);
