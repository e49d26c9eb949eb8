import { lstatSync, mkdirSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { isAbsolute, join } from 'node:path';

/**
 * Keeps what V8 makes of our sources, without their types, for the next start: half of a start's work. In a folder that nobody else can
 * write to, since whoever writes there says what runs; Node's own default is one in /tmp that anybody may have made.
 * @param {Readonly<Record<string, string | undefined>>} env
 */
export function keepCompiled(env) {
  const cache = [env['XDG_CACHE_HOME'], env['HOME'] && join(env['HOME'], '.cache')].find((one) => one !== undefined && isAbsolute(one));
  // Whoever names one, or wants none, has told Node.
  if (cache === undefined || env['NODE_COMPILE_CACHE'] || env['NODE_DISABLE_COMPILE_CACHE']) return;
  const folder = join(cache, 'postern', 'compiled');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (isOwn(folder) && isOwn(join(cache, 'postern'))) enableCompileCache(folder);
  } catch {
    // A home that can't be written to: it starts as it always did.
  }
}

/** @param {string} folder */
function isOwn(folder) {
  const { uid, mode } = lstatSync(folder);
  return (mode & 0o170022) === 0o040000 && uid === process.getuid?.();
}
