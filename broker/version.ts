import { readFileSync } from 'node:fs';

/** Put in by what bundles the sources, which have no package.json beside them then. */
declare const POSTERN_VERSION: string | undefined;

/** Of this release, as in package.json. */
export const version: string =
  typeof POSTERN_VERSION === 'string'
    ? POSTERN_VERSION
    : (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;
