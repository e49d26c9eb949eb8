import { PosternError } from '#broker/error.ts';
import { Unwritable } from '#tools/process/storage.ts';

/** Where a real part came from, in the order in which the places are tried. */
export type Origin = 'environment' | 'PATH' | 'cache' | 'download' | 'go-module' | 'wheel' | 'debian';

/** A program or a provider that was found, ready to be run. */
export interface Part {
  name: string;
  /** Plain `major.minor.patch`, as the program itself or its file name says. */
  version: string;
  /** Absolute path of the executable, or of a provider's file in a mirror. */
  path: string;
  origin: Origin;
}

/** One place to look. `undefined` means "not here"; a throw means "here, but it did not work". */
export interface Way {
  origin: Origin;
  /** What is looked at, in words for a person. */
  where: string;
  find(): Promise<Part | undefined>;
}

/** Takes one line, without its line end. `remark`: it must be seen after the next one, too; the others are progress. */
export type Report = (line: string, kind?: 'remark') => void;

export const toStderr: Report = (line) => void process.stderr.write(`${line}\n`);

/**
 * The first part that any way gives. A way that fails never stops the next one from being tried:
 * a machine without one of them is ordinary.
 *
 * @throws PosternError `misconfigured`, naming each way and why it gave nothing, when none works; at once where the cache can't be written
 */
export async function firstOf(name: string, ways: readonly Way[], report: Report): Promise<Part> {
  const reasons: string[] = [];
  for (const way of ways) {
    try {
      const part = await way.find();
      if (part) return part;
      reasons.push(`${way.where}: not there`);
    } catch (error) {
      if (error instanceof Unwritable) throw error;
      const reason = `${way.where}: ${(error as Error).message}`;
      reasons.push(reason);
      // Something explicit that is wrong must be seen, even though another way may still work.
      report(`${name}: ${reason}`, 'remark');
    }
  }
  throw new PosternError('misconfigured', `${name} can't be found.\n${reasons.map((reason) => `  - ${reason}`).join('\n')}`);
}
