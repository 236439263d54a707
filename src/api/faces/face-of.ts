import type { Face } from '../face.ts';
import { grantiva } from './grantiva-face.ts';
import { gravv } from './gravv-face.ts';
import { native } from './native.ts';

const faces: readonly Face[] = [grantiva, gravv];

/** Whose path this is: the native face has all that no other one owns. */
export function faceOf(path: string): Face {
  return faces.find((face) => face.owns(path)) ?? native;
}

/** Scheme and host of a target in absolute form (RFC 9112, section 3.2.2), as proxies send it. */
const ORIGIN = /^https?:\/\/[^/?]*/i;

/** The path in a request's target as the router reads it: without its query, and with what needs no encoding decoded. */
export function pathOf(target: string): string {
  const url = target.startsWith('/') ? target : target.replace(ORIGIN, '');
  const end = url.indexOf('?');
  const path = end < 0 ? url : url.slice(0, end);
  if (!path.includes('%')) return path;
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}
