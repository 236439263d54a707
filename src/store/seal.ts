import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { PosthornError } from '../errors.ts';
import { prepareDataDir } from './data-directory.ts';

const VERSION = 'v1';
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Below this a master key can be guessed. */
const SHORTEST_KEY = 16;

/**
 * Seals secrets at rest with AES-256-GCM. A sealed text reads `v1.<key id>.<base64url of iv, ciphertext, tag>`; tenant
 * and row id are authenticated with it, so that a sealed secret copied to another row does not open.
 */
export interface KeyRing {
  /** Seals with the newest key. */
  seal(text: string, tenantId: string, rowId: string): string;
  /** Opens what any key of the ring sealed. Throws where no key fits or the text was tampered with or moved. */
  unseal(sealed: string, tenantId: string, rowId: string): string;
  /** The same secret under the newest key; null where it is under it already. */
  rewrap(sealed: string, tenantId: string, rowId: string): string | null;
  /**
   * A 32-byte key for one purpose (the pepper of API keys, …). It comes from the store's root, not from the master
   * key, and so stays the same when the master key rotates. Throws before the store is open.
   */
  derive(purpose: string): Buffer;
  /** Called by the store at open with the root it keeps, sealed, in its `meta` table. */
  setRoot(root: Buffer): void;
}

/**
 * A key ring over master keys, newest first; each a text of at least 16 characters, better 32 random bytes in base64.
 * @throws where there is none, or one is too short
 */
export function createKeyRing(masterKeys: readonly string[]): KeyRing {
  const keys = masterKeys.map((text) => {
    if (text.length < SHORTEST_KEY) {
      throw new Error(
        `A master key needs at least ${SHORTEST_KEY} characters; make one with \`openssl rand -base64 32\`.`,
      );
    }
    const bytes = Buffer.from(hkdfSync('sha256', text, 'posthorn', 'seal', 32));
    const id = createHash('sha256').update('posthorn key id').update(bytes).digest('hex').slice(0, 8);
    return { id, bytes };
  });
  const newest = keys[0];
  if (!newest) throw new Error('A key ring needs at least one master key.');
  let root: Buffer | null = null;

  const ring: KeyRing = {
    seal(text, tenantId, rowId) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', newest.bytes, iv);
      cipher.setAAD(boundTo(tenantId, rowId));
      const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `${VERSION}.${newest.id}.${sealed.toString('base64url')}`;
    },
    unseal(sealed, tenantId, rowId) {
      const [version, keyId, body] = sealed.split('.');
      if (version !== VERSION || keyId === undefined || body === undefined)
        throw new Error('This is not a sealed text.');
      const key = keys.find((candidate) => candidate.id === keyId);
      if (!key) {
        throw new Error(
          `The master key does not open this store: it was sealed with another one (id ${keyId}). ` +
            'Set POSTHORN_MASTER_KEY to the key that it was made with; all nodes have the same.',
        );
      }
      const bytes = Buffer.from(body, 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(boundTo(tenantId, rowId));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const text = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
      return Buffer.concat([text, decipher.final()]).toString('utf8');
    },
    rewrap(sealed, tenantId, rowId) {
      if (sealed.startsWith(`${VERSION}.${newest.id}.`)) return null;
      return ring.seal(ring.unseal(sealed, tenantId, rowId), tenantId, rowId);
    },
    derive(purpose) {
      if (!root) throw new Error('Open the store before deriving keys: their root lies in it.');
      return Buffer.from(hkdfSync('sha256', root, 'posthorn', purpose, 32));
    },
    setRoot(bytes) {
      root = bytes;
    },
  };
  return ring;
}

function boundTo(tenantId: string, rowId: string): Buffer {
  // Neither a tenant id nor a row id holds a NUL, so two pairs never give the same bytes.
  return Buffer.from(`${tenantId}\0${rowId}`, 'utf8');
}

/**
 * The master keys beside the data, for an embedded store whose operator set none: the file `master.key`, mode 0600, one
 * key a line, newest first. Makes it with one random key where it is missing.
 * @throws PosthornError `STORE_UNAVAILABLE` that names the file, where it can be neither read nor made
 */
export function loadOrCreateKeyFile(dataDir: string): { keys: string[]; created: boolean } {
  const path = join(dataDir, 'master.key');
  prepareDataDir(dataDir);
  try {
    const present = readKeys(path);
    if (present) return { keys: present, created: false };
    const created = writeKey(path, randomBytes(32).toString('base64'));
    return { keys: readKeys(path) ?? [], created };
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    throw new PosthornError(
      'STORE_UNAVAILABLE',
      `Cannot read or write the key file ${path} (${reason}). Give this user the right to write there, choose another data directory, or set a master key.`,
      { cause },
    );
  }
}

function readKeys(path: string): string[] | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (keys.length === 0) throw new Error('the file is empty');
  return keys;
}

/** Whole or not at all, also when the machine dies or two processes start at once: written aside, then linked. */
function writeKey(path: string, key: string): boolean {
  const aside = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = openSync(aside, 'wx', 0o600);
  try {
    writeSync(file, `${key}\n`);
    fsyncSync(file);
    linkSync(aside, path);
    syncDirectory(join(path, '..'));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    closeSync(file);
    unlinkSync(aside);
  }
}

function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
