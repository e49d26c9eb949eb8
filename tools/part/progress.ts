import type { Report } from './part.ts';

const EVERY_MS = 10_000;

/** Reports a start, the seconds gone every 10 s, and the end of something long. */
export async function withProgress<T>(what: string, report: Report, work: (note: (text: string) => void) => Promise<T>): Promise<T> {
  const start = Date.now();
  const seconds = () => `${Math.round((Date.now() - start) / 1000)} s`;
  let noted = '';
  report(`${what} ...`);
  const tick = setInterval(() => report(`${what} ... ${seconds()}${noted ? ` (${noted})` : ''}`), EVERY_MS);
  try {
    const result = await work((text) => {
      noted = text;
    });
    report(`${what}: done in ${seconds()}`);
    return result;
  } finally {
    clearInterval(tick);
  }
}
