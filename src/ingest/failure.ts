/**
 * Something that ends the work of `posthorn ingest`, said in one line with its remedy. What only delays it is no failure:
 * that is waited for, and told to the {@link Report}.
 */
export class IngestFailure extends Error {
  override readonly name = 'IngestFailure';
}

/** Why something failed, in the words of a library, on one line. */
export function reasonOf(error: unknown): string {
  const { message, errors, code } = error as { message?: string; errors?: unknown[]; code?: string };
  // An AggregateError (no address of a host answered, several brokers refused) says nothing itself.
  if (Array.isArray(errors) && errors.length > 0) return [...new Set(errors.map(reasonOf))].join('; ');
  return (message || code || String(error)).replaceAll(/\s*[\r\n]+\s*/g, ' ').trim();
}
