/**
 * Microseconds on the machine's monotonic clock, which all processes of one machine share: a stamp made in the load
 * generator can be subtracted in the receiver. (`performance.timeOrigin` is read from the wall clock at each process's
 * start, so two processes disagree when it is stepped between.)
 */
export function nowUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + Math.floor(nanoseconds / 1000);
}
