import { parse as parseCsv } from 'csv-parse/sync';
import { isTenantId } from '../model/tenant.ts';
import { usage } from './failure.ts';

/** An endpoint to import, as the API takes it. */
export interface ImportRow {
  id?: string;
  url?: string;
  events?: string[];
  secret?: string;
  previousSecret?: string;
  previousSecretExpiresAt?: string;
  isActive?: boolean;
  description?: string;
  wireFormat?: string;
  createdAt?: string;
}

/** One row of the file: whose it is and what it says, or why it cannot be read. */
export interface SourceRow {
  /** Line of a CSV file, place in a list of JSON; from 1. */
  number: number;
  /** Null = the tenant of the key, or of --tenant. */
  tenant: string | null;
  row: ImportRow;
  problem: string | null;
}

export interface ReadOptions {
  format: 'json' | 'csv';
  /** Field of an endpoint → column of the file, where its name is not one of the usual ones. */
  columns: ReadonlyMap<string, string>;
  /** Column with each row's tenant. */
  tenantColumn: string | null;
  /** Event types of rows that name none. */
  defaultEvents: readonly string[] | null;
  wireFormat: string | null;
}

/** What the columns of such tables are usually called; the letter case and `_` do not count. */
const usualNames: Readonly<Record<Exclude<keyof ImportRow, 'wireFormat'>, readonly string[]>> = {
  id: ['id', 'webhookid', 'endpointid', 'subscriptionid', 'uuid'],
  url: ['url', 'targeturl', 'endpointurl', 'webhookurl', 'callbackurl', 'target', 'endpoint'],
  events: ['events', 'eventtypes', 'subscribedevents', 'eventtype', 'topics'],
  secret: ['secret', 'signingsecret', 'webhooksecret', 'secretkey'],
  previousSecret: ['previoussecret', 'oldsecret'],
  previousSecretExpiresAt: ['previoussecretexpiresat', 'oldsecretexpiresat'],
  isActive: ['isactive', 'active', 'enabled', 'status', 'state'],
  description: ['description', 'label', 'name'],
  createdAt: ['createdat', 'created', 'insertedat'],
};

/** Names that `--map` knows. */
export const importFields: readonly string[] = Object.keys(usualNames);

const yes = new Set(['true', 't', '1', 'yes', 'y', 'active', 'enabled', 'on']);
const no = new Set(['false', 'f', '0', 'no', 'n', 'inactive', 'disabled', 'paused', 'off']);

/** Reads a file of endpoints. Throws usage failures that say what is wrong with the file as a whole. */
export function readImportRows(text: string, options: ReadOptions): SourceRow[] {
  const records = options.format === 'csv' ? readCsv(text) : readJson(text);
  if (records.length === 0) throw usage('the file names no endpoint');
  return records.map(({ number, fields }) => readRow(number, fields, options));
}

interface RawRow {
  number: number;
  fields: ReadonlyMap<string, unknown>;
}

function readCsv(text: string): RawRow[] {
  let rows: { record: Record<string, string>; info: { lines: number } }[];
  try {
    rows = parseCsv(text, { bom: true, columns: true, info: true, skip_empty_lines: true, trim: true }) as never;
  } catch (cause) {
    throw usage(`the file is not CSV with a line of titles: ${(cause as Error).message}`);
  }
  return rows.map(({ record, info }) => ({ number: info.lines, fields: new Map(Object.entries(record)) }));
}

/** A list, an object that holds one (`{"webhooks": […]}`), or one object a line. */
function readJson(text: string): RawRow[] {
  const found = listIn(text.replace(/^\ufeff/, ''));
  return found.map((element, i) => {
    if (typeof element !== 'object' || element === null || Array.isArray(element)) {
      throw usage(`element ${i + 1} of the file is no object; each endpoint is one`);
    }
    return { number: i + 1, fields: new Map(Object.entries(element)) };
  });
}

function listIn(text: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
    try {
      if (lines.length > 1) return lines.map((line) => JSON.parse(line) as unknown);
    } catch {
      // Then it is not one object a line either; what is wrong with it as a whole says more.
    }
    throw usage(`the file is not JSON: ${(cause as Error).message}`);
  }
  if (Array.isArray(value)) return value;
  if (typeof value === 'object' && value !== null) {
    const lists = Object.values(value).filter((member): member is unknown[] => Array.isArray(member));
    if (lists.length === 1 && lists[0]!.every((element) => typeof element === 'object')) return lists[0];
    if ('url' in value) return [value];
  }
  throw usage('the file holds no list of endpoints; give [{"url": …}, …] or {"webhooks": […]}');
}

function readRow(number: number, fields: ReadonlyMap<string, unknown>, options: ReadOptions): SourceRow {
  const row: ImportRow = {};
  const source: SourceRow = { number, tenant: null, row, problem: null };
  if (options.tenantColumn !== null) {
    const value = fields.get(options.tenantColumn);
    const tenant = typeof value === 'number' ? String(value) : value;
    if (typeof tenant === 'string' && isTenantId(tenant)) source.tenant = tenant;
    else source.problem = `${options.tenantColumn}: names no tenant; their ids are letters, digits and . _ : -`;
  }
  for (const field of importFields as readonly (keyof typeof usualNames)[]) {
    const value = find(fields, field, options.columns);
    if (value === undefined || value === null || value === '') continue;
    try {
      Object.assign(row, { [field]: convert(field, value) });
    } catch (error) {
      source.problem ??= `${field}: ${(error as Error).message}`;
    }
  }
  if (row.events === undefined && options.defaultEvents) row.events = [...options.defaultEvents];
  if (options.wireFormat !== null) row.wireFormat = options.wireFormat;
  return source;
}

function find(
  fields: ReadonlyMap<string, unknown>,
  field: keyof typeof usualNames,
  columns: ReadonlyMap<string, string>,
): unknown {
  const mapped = columns.get(field);
  if (mapped !== undefined) return fields.get(mapped);
  for (const usual of usualNames[field]) {
    for (const [name, value] of fields) if (name.toLowerCase().replaceAll(/[_\s-]/g, '') === usual) return value;
  }
  return undefined;
}

function convert(field: keyof typeof usualNames, value: unknown): unknown {
  if (field === 'events') return readEvents(value);
  if (field === 'isActive') return readActive(value);
  if (field === 'createdAt' || field === 'previousSecretExpiresAt') return readTime(value);
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && field === 'id') return String(value);
  throw new Error('must be text');
}

/** A list, its JSON, PostgreSQL's text of an array (`{a,b}`), or types with commas, semicolons, `|` or spaces between. */
function readEvents(value: unknown): string[] {
  if (Array.isArray(value) && value.every((type) => typeof type === 'string')) return value;
  if (typeof value !== 'string') throw new Error('must be a list of event types');
  const text = value.trim();
  if (text.startsWith('[')) {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list)) return readEvents(list);
  }
  const types = text
    .replace(/^\{(.*)\}$/s, '$1')
    .split(/[\s,;|]+/)
    .map((type) => type.replaceAll('"', ''))
    .filter((type) => type !== '');
  if (types.length === 0) throw new Error('names no event type');
  return types;
}

function readActive(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  const text = String(value).trim().toLowerCase();
  if (yes.has(text)) return true;
  if (no.has(text)) return false;
  throw new Error(`${JSON.stringify(value)} is neither active nor inactive; write true or false`);
}

/** RFC 3339, a date as databases print it, or unix time in seconds or ms; as the API takes it. */
function readTime(value: unknown): string {
  const number = typeof value === 'number' ? value : /^\d{10}(\d{3})?$/.test(String(value)) ? Number(value) : null;
  const text = String(value)
    .trim()
    .replace(/^(\d{4}-\d\d-\d\d) /, '$1T')
    .replace(/([+-]\d\d)$/, '$1:00');
  // Without a zone it is UTC, not that of whoever imports.
  const zoned = /^\d{4}-\d\d-\d\dT[\d:.]+$/.test(text) ? `${text}Z` : text;
  const time = number === null ? new Date(zoned) : new Date(number < 1e11 ? number * 1000 : number);
  if (Number.isNaN(time.getTime()))
    throw new Error(`${JSON.stringify(value)} is not a time; write 2026-01-31T12:00:00Z`);
  return time.toISOString();
}
