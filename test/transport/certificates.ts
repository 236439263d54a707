import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface KeyPair {
  key: string;
  cert: string;
}

export interface Certificates {
  /** The authority that signed all but `selfSigned`. */
  ca: string;
  /** For localhost, *.localhost, hooks.example.com and 127.0.0.1. */
  good: KeyPair;
  expired: KeyPair;
  notYetValid: KeyPair;
  /** For other.example.com only. */
  wrongHost: KeyPair;
  selfSigned: KeyPair;
}

/** The authority's rules for `openssl ca`, the one command that takes a start and an end date in every OpenSSL 3. */
const rules = `[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;

/** Makes certificates with the openssl command, in a directory that is gone when this returns. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

  function issue(name: string, altNames: string, start: string, end: string): KeyPair {
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${altNames}`];
    openssl('req', '-new', ...newKey, ...subject, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    const authority = ['-config', 'rules.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-batch', '-notext'];
    const dates = ['-startdate', start, '-enddate', end];
    openssl('ca', ...authority, ...dates, '-in', `${name}.csr`, '-out', `${name}.pem`);
    return { key: read(`${name}.key`), cert: read(`${name}.pem`) };
  }

  try {
    writeFileSync(join(folder, 'index.txt'), '');
    writeFileSync(join(folder, 'rules.cnf'), rules);
    openssl('req', '-x509', ...newKey, '-days', '3650', '-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.pem');
    const altNames = 'DNS:localhost,DNS:*.localhost,DNS:hooks.example.com,IP:127.0.0.1';
    const self = ['-days', '3650', '-subj', '/CN=self', '-addext', `subjectAltName=${altNames}`];
    openssl('req', '-x509', ...newKey, ...self, '-keyout', 'self.key', '-out', 'self.pem');
    const [past, begin, end] = ['200101000000Z', '250101000000Z', '491231000000Z'];
    return {
      ca: read('ca.pem'),
      good: issue('good', altNames, begin, end),
      expired: issue('expired', altNames, past, begin),
      notYetValid: issue('future', altNames, '480101000000Z', end),
      wrongHost: issue('wrong', 'DNS:other.example.com', begin, end),
      selfSigned: { key: read('self.key'), cert: read('self.pem') },
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
