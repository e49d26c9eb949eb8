import { readFileSync } from 'node:fs';

/** How many files and sockets this process may have open, by Linux; undefined: no limit, or not Linux. Node raises it as far as it may. */
export function mostOpenFiles(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
