import { styleText } from 'node:util';

/** Writes one line to standard output. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Writes one line to standard error, where everything goes that is not the answer itself. */
export function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Writes an answer for machines. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Characters to a line of a terminal; null = no limit: it is none, or does not know its width (0 in some pseudo-terminals). */
export function terminalWidth(stream: { isTTY?: boolean; columns?: number } = process.stdout): number | null {
  return stream.isTTY && stream.columns ? stream.columns : null;
}

/** Styled text for standard output: plain unless that is a terminal, and with NO_COLOR (see no-color.org). */
export function styled(format: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

/** Text from elsewhere, made harmless: control characters could move the cursor or rewrite what was shown. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- finding them is the purpose
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, ' ');
}

/** `1 delivery`, `1,234 deliveries`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en-GB')} ${number === 1 ? one : many}`;
}
