import { writeSync } from 'node:fs';
import type { Reporter, SerializedError, TestCase, TestModule, Vitest } from 'vitest/node';

/**
 * Ends a run with `N passed, N failed, N skipped` alone on a line, true to what ran: a file that can't be loaded, a
 * hook that fails and an error outside any test each count as failed, and a run that tested nothing is not a success.
 */
export default class CountReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  onInit(vitest: Vitest): void {
    // At the exit, so that nothing that a tear-down says comes after it.
    process.once('exit', (code) => {
      if (vitest.config.watch) return;
      if (this.#passed + this.#failed + this.#skipped === 0) process.exitCode = 1;
      // Vitest failed for a reason of its own, a set-up or a tear-down say.
      if (Number(process.exitCode ?? code) !== 0 && this.#failed === 0) this.#failed = 1;
      writeSync(1, `\n${this.#passed} passed, ${this.#failed} failed, ${this.#skipped} skipped\n`);
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
    for (const module of modules) {
      this.#failed += module.errors().length;
      for (const suite of module.children.allSuites()) this.#failed += suite.errors().length;
      for (const test of module.children.allTests()) this.#count(test);
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
