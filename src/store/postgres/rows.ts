/**
 * Arrays of equal length as rows of a subquery: `{ id: '$1::text[]' }` → `SELECT unnest($1::text[]) AS id`.
 *
 * In the list of a SELECT the elements are handed on as they are taken out of the arrays. `FROM unnest(…, …)` keeps those of each
 * array in a store of its own first: a tenth more of the server's CPU for a delivery.
 */
export function rowsOf(columns: Readonly<Record<string, string>>): string {
  const list = Object.entries(columns).map(([name, array]) => `unnest(${array}) AS ${name}`);
  return `SELECT ${list.join(', ')}`;
}
