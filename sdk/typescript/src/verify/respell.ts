/** Longest body, in characters, that is looked at: refusing must not cost a receiver much more than accepting. */
const MAX_LENGTH = 65_536;
/** Deepest that is written with line breaks: 64 KiB of elements at depth 2,000 would become 120 MB of indentation. */
const MAX_DEPTH = 20;

/** Another spelling of the same JSON, and what a receiver did to it if that is the one that was signed. */
export interface Spelling {
  body: string;
  was: string;
}

/**
 * The bodies that may have been signed, if the one at hand was parsed and written again on its way to the verifier.
 * `dataMember`: the member of the body that holds the payload, which publishers may spell in a style of their own.
 */
export function otherSpellings(body: string, dataMember: string | null): Spelling[] {
  if (body.length > MAX_LENGTH) return [];
  try {
    const trimmed = body.trim();
    const value: unknown = JSON.parse(trimmed);
    if (isDeeper(value, MAX_DEPTH)) return [];
    const spellings = [
      { body: trimmed, was: 'got white space at an end' },
      { body: withoutSpace(trimmed), was: 'got white space between its parts' },
      { body: JSON.stringify(value), was: 'was parsed and written again, with white space or other escapes' },
      { body: spaced(value), was: 'lost its white space' },
      { body: JSON.stringify(value, null, 2), was: 'lost its line breaks' },
      ...withOwnData(value, dataMember),
    ];
    const seen = new Set([body]);
    return spellings.filter((spelling) => !seen.has(spelling.body) && seen.add(spelling.body));
  } catch {
    return [];
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1));
}

/** An envelope without white space around a payload that has some: both are kept as their writers had them. */
function withOwnData(value: unknown, dataMember: string | null): Spelling[] {
  if (dataMember === null || typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return [spaced, (data: unknown) => JSON.stringify(data, null, 2)].map((spell) => {
    const members = Object.entries(value).map(
      ([name, member]) => `${JSON.stringify(name)}:${name === dataMember ? spell(member) : JSON.stringify(member)}`,
    );
    return { body: `{${members.join(',')}}`, was: 'lost the white space of its payload' };
  });
}

/** As Python writes it: a space behind each comma and colon. Line breaks inside strings are escaped, so none is hit. */
function spaced(value: unknown): string {
  return JSON.stringify(value, null, 1)
    .replace(/([{[])\n */g, '$1')
    .replace(/\n *(?=[}\]])/g, '')
    .replace(/\n */g, ' ');
}

/** Without white space between tokens; numbers and escapes stay as they are. */
function withoutSpace(json: string): string {
  return json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, text: string | undefined) => text ?? '');
}
