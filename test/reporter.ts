import { writeSync } from 'node:fs';
import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node';

/**
 * Ends a run with `N passed, N failed, N skipped` alone on a line, true to what ran: a file that can't be loaded, a
 * hook that fails and an error outside any test each count as failed, and a run that tested nothing is not a success.
 * Before it what failed is named and why, a line each: where only the end of a long output is kept, it still tells what to mend.
 */
export default class CountReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;
  #names: string[] = [];

  onInit(vitest: Vitest): void {
    // At the exit, so that nothing that a tear-down says comes after it.
    process.once('exit', (code) => {
      if (vitest.config.watch) return;
      if (this.#passed + this.#failed + this.#skipped === 0) process.exitCode = 1;
      // Vitest failed for a reason of its own, a set-up or a tear-down say.
      if (Number(process.exitCode ?? code) !== 0 && this.#failed === 0) this.#failed = 1;
      const names = this.#names.map((name) => `failed: ${name}\n`).join('');
      writeSync(1, `\n${names}${this.#passed} passed, ${this.#failed} failed, ${this.#skipped} skipped\n`);
    });
  }

  /** Keeps count on the way, for a run that is interrupted and so has no end. */
  onTestCaseResult(test: TestCase): void {
    this.#count(test);
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): void {
    this.#passed = 0;
    this.#skipped = 0;
    this.#failed = unhandled.length;
    this.#names = unhandled.map((error) => `outside any test${why([error])}`);
    for (const module of modules) {
      const file = `${module.project.name} ${module.relativeModuleId}`.trim();
      this.#failed += module.errors().length;
      if (module.errors().length > 0) this.#names.push(`${file}${why(module.errors())}`);
      for (const suite of module.children.allSuites()) {
        this.#failed += suite.errors().length;
        if (suite.errors().length > 0) this.#names.push(`${file} > ${suite.fullName}${why(suite.errors())}`);
      }
      for (const test of module.children.allTests()) {
        this.#count(test);
        const { state, errors } = test.result();
        if (state === 'failed') this.#names.push(`${file} > ${test.fullName}${why(errors)}`);
      }
    }
  }

  #count(test: TestCase): void {
    const { state } = test.result();
    if (state === 'passed') this.#passed += 1;
    else if (state === 'skipped') this.#skipped += 1;
    // Failed, or interrupted before it ended.
    else this.#failed += 1;
  }
}

const MOST = 400;

/** The first error's words on one line: Terraform's, say, are some lines long. */
function why(errors: ReadonlyArray<{ readonly message: string }>): string {
  const words = (errors[0]?.message ?? '').replaceAll(/\s+/g, ' ').trim();
  return words === '' ? '' : `: ${words.length > MOST ? `${words.slice(0, MOST)} ...` : words}`;
}
