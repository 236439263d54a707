import { join } from 'node:path';
import { preparePython } from '../../scripts/python.ts';
import { freePort, startChild } from './child.ts';

export interface SqsServer {
  /** What a process needs to find it, and to be somebody. */
  env: Record<string, string>;
  close: () => Promise<void>;
}

/** A local SQS (moto): it speaks the API of AWS, and forgets everything when it ends. */
export async function startSqs(): Promise<SqsServer> {
  const python = preparePython(join(import.meta.dirname, 'requirements.txt'));
  const port = await freePort();
  const child = await startChild([python, '-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    env: { PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' },
    ready: /Running on http/,
  });
  return {
    env: {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    close: () => child.kill(),
  };
}
