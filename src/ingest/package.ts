import { IngestFailure } from './failure.ts';

/** Loads a client library that only those install who need it. Throws {@link IngestFailure} that says how. */
export async function loadPackage<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(`'${name}'`)) throw cause;
    throw new IngestFailure(`the package ${name} is not installed; npm install ${name}`, { cause });
  }
}
