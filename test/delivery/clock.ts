const DAY_MS = 86_400_000;

let lastDay = Math.floor(Date.now() / DAY_MS);

/** A clock that runs as fast as the real one, and can be set ahead. */
export interface Clock {
  now: () => number;
  /** Goes on to some time of the next UTC day; noon unless said. */
  nextDay: (msIntoIt?: number) => void;
}

/**
 * A clock that begins on a later day than every other of this file, at noon unless said: ids are made in the order of
 * time, and one process never goes back.
 */
export function clock(msIntoDay = DAY_MS / 2): Clock {
  let day = (lastDay += 10);
  let ahead = day * DAY_MS + msIntoDay - Date.now();
  return {
    now: () => Date.now() + ahead,
    nextDay(msIntoIt = DAY_MS / 2) {
      day++;
      lastDay = Math.max(lastDay, day);
      ahead = day * DAY_MS + msIntoIt - Date.now();
    },
  };
}
