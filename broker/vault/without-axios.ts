import { createRequire } from 'node:module';

/*
 * node-vault loads axios before it is told that we have a transport of our own, and axios loads some hundred files that nobody needs:
 * a fifth of the start of a command. In a bundle it isn't there at all (tools/dist/bundle.ts), nor is a folder to look for it.
 */
const here = import.meta.url as string | undefined;
if (here !== undefined) {
  const { cache, resolve } = createRequire(createRequire(here).resolve('node-vault'));
  const axios = resolve('axios');
  cache[axios] ??= { id: axios, filename: axios, loaded: true, exports: {} } as NodeJS.Module;
}
