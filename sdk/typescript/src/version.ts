/** The version of this package; package.json has the same, and a test holds them together. */
export const version = '0.1.0';
