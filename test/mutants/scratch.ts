import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { checkout } from '#tools/part/version.ts';
import { placesOf } from './misfits.ts';
import type { Mutant } from './mutant.ts';

/** `caught`: a test failed · `survived`: all passed · `broken`: the fault can't be put in, or no test could run */
export type Verdict = { readonly what: 'caught' | 'survived' | 'broken'; readonly by: string };

const LEFT_OUT = new Set(['node_modules', '.git', '.postern', 'dist', 'coverage']);
/** One run of tests that hangs has noticed the fault, too; ms. */
const HANGS = 180_000;

/** A copy of the checkout, in which faults are tried one after the other. */
export class Scratch {
  readonly #root = mkdtempSync(join(tmpdir(), 'postern-mutants-'));

  constructor() {
    cpSync(checkout, this.#root, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) });
    symlinkSync(join(checkout, 'node_modules'), join(this.#root, 'node_modules'));
  }

  /**
   * Works on the copy with the fault in it.
   * @returns a text where the fault can't be put in: why
   */
  async within<T>(file: string, mutant: Mutant, work: (root: string) => Promise<T>): Promise<T | string> {
    const path = join(this.#root, file);
    const source = readFileSync(path, 'utf8');
    const places = placesOf(mutant, source);
    if (places !== 1) return `what it replaces stands ${places} times in ${file}`;
    const [, find, replace] = mutant;
    const mutated = source.replace(find, () => replace);
    try {
      stripTypeScriptTypes(mutated);
    } catch (error) {
      return `${file} is not TypeScript any more: ${(error as Error).message}`;
    }
    writeFileSync(path, mutated);
    try {
      return await work(this.#root);
    } finally {
      writeFileSync(path, source);
    }
  }

  async try(file: string, mutant: Mutant): Promise<Verdict> {
    const tried = await this.within(file, mutant, async () => {
      // The file's own test first, then its room's, then all that import it: the nearest notice most, and soonest.
      const room = file.replace(/^broker\//, 'test/unit/').replace(/\/(path\/)?[^/]+$/, '/');
      const own = `${room}${basename(file, '.ts')}.test.ts`;
      let verdict: Verdict = { what: 'survived', by: '' };
      for (const args of [...(existsSync(join(this.#root, own)) ? [['run', own]] : []), ['run', room], ['related', file, '--run']]) {
        verdict = await this.#test([...args, '--passWithNoTests']);
        if (verdict.what !== 'survived') break;
      }
      return verdict;
    });
    return typeof tried === 'string' ? { what: 'broken', by: tried } : tried;
  }

  async #test(args: string[]): Promise<Verdict> {
    const file = join(this.#root, 'report.json');
    rmSync(file, { force: true });
    const { all, timedOut } = await execa(
      process.execPath,
      [
        'node_modules/vitest/vitest.mjs',
        ...args,
        '--project',
        'unit',
        '--bail=1',
        '--maxWorkers=1',
        '--reporter=json',
        `--outputFile=${file}`,
      ],
      { cwd: this.#root, reject: false, all: true, timeout: HANGS, forceKillAfterDelay: 1_000 },
    );
    if (timedOut) return { what: 'caught', by: 'the tests hang' };
    let report: { success: boolean; testResults: { message: string; assertionResults: { status: string; fullName: string }[] }[] };
    try {
      report = JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      return { what: 'broken', by: `the tests gave no report: ${all.slice(-300)}` };
    }
    const failed = report.testResults.flatMap(({ assertionResults }) => assertionResults).find(({ status }) => status === 'failed');
    if (failed) return { what: 'caught', by: failed.fullName };
    if (report.success) return { what: 'survived', by: '' };
    return { what: 'broken', by: report.testResults.find(({ message }) => message)?.message ?? 'the run failed, but no test did' };
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}
