/** A wire format, or a secret for one, that cannot work. The message names the field and the remedy. */
export class WireFormatError extends Error {
  override readonly name = 'WireFormatError';
  /** Where in the declaration: `signatures[0].signed`; empty when it is the whole. */
  readonly path: string;

  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.path = path;
  }
}
