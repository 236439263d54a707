import { describe, expect, test } from 'vitest';
import { CliFailure } from '../../src/cli/failure.ts';
import { parseMoment } from '../../src/cli/moment.ts';

const now = Date.UTC(2026, 0, 31, 12);

describe('a moment', () => {
  test.each([
    ['2h', -1, now - 7_200_000],
    ['90d', 1, now + 90 * 86_400_000],
    ['2026-01-31', -1, Date.UTC(2026, 0, 31)],
    ['2026-01-31T13:00Z', -1, Date.UTC(2026, 0, 31, 13)],
    ['2026-01-31T13:00:00.250+01:00', 1, Date.UTC(2026, 0, 31, 12, 0, 0, 250)],
  ] as const)('%s is read', (text, direction, at) => {
    expect(parseMoment(text, '--from', direction, now)).toBe(at);
  });

  test.each(['', 'now', '2', '-2h', '2026-13-01', '2026-01-31T13:00:00', '31.1.2026', '999999999999d'])(
    '%j is refused: it could mean anything',
    (text) => {
      expect(() => parseMoment(text, '--from', -1, now)).toThrow(CliFailure);
    },
  );
});
