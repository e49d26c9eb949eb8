import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { ICruiseResult } from 'dependency-cruiser';
import { checkout } from '#tools/part/version.ts';

/** One import, or chain of imports, that the law forbids. */
export interface Violation {
  /** Name of the rule in `.dependency-cruiser.mjs`. */
  rule: string;
  /** Paths from the tree's root. */
  from: string;
  to: string;
  /** The files between, for a rule that holds through any number of them; ends with `to`. */
  via: string[];
}

// TypeScript 7 has no parser for other programs yet, so dependency-cruiser reads our files with TypeScript 6.
registerHooks({
  resolve: (specifier, context, next) =>
    next(
      context.parentURL?.includes('/dependency-cruiser/') ? specifier.replace(/^typescript(?=$|\/)/, 'typescript6') : specifier,
      context,
    ),
});

/**
 * Holds every TypeScript file of a tree against `.dependency-cruiser.mjs` of this checkout.
 * @param root absolute path of a tree with a `package.json`
 * @throws Error when a file can't be read or parsed
 */
export async function violations(root: string = checkout): Promise<Violation[]> {
  const output = await cruised(root, true);
  return output.summary.violations.map(({ rule, from, to, via = [] }) => ({ rule: rule.name, from, to, via: via.map(({ name }) => name) }));
}

/**
 * Every import of one of our files by another.
 * @throws Error when a file can't be read or parsed
 */
export async function imports(): Promise<{ from: string; to: string }[]> {
  const { modules } = await cruised(checkout, false);
  return modules.flatMap(({ source, dependencies }) =>
    dependencies
      .filter(({ resolved }) => /\.tsx?$/.test(resolved) && !resolved.includes('node_modules/'))
      .map(({ resolved }) => ({ from: source, to: resolved })),
  );
}

async function cruised(root: string, validate: boolean): Promise<ICruiseResult> {
  const { cruise } = await import('dependency-cruiser');
  const { default: law } = await import(pathToFileURL(`${checkout}/.dependency-cruiser.mjs`).href);
  const { forbidden, options } = law;
  const rooms = ['broker', 'cli', 'client', 'console', 'dev', 'tools', 'test'];
  const { output } = await cruise(rooms, { ...options, baseDir: root, ...(validate ? { ruleSet: { forbidden }, validate } : {}) });
  if (typeof output === 'string') throw new Error(output);
  if (output.summary.totalCruised === 0) throw new Error(`no files found in ${root}`);
  return output;
}
