import { execa } from 'execa';
import { Scratch } from '#test/mutants/scratch.ts';
import { faults } from './faults.ts';

/** A fault that makes a run hang has been found, too; ms. */
const HANGS = 1_800_000;

/**
 * Puts one fault after the other into a copy of the checkout and plays seeds until one notices. Ends with 1 when one isn't noticed within
 * so many seeds, or no longer fits the code.
 */
export async function bite(names: readonly string[], seeds: number, json: boolean): Promise<void> {
  const all = Object.entries(faults).flatMap(([file, list]) => list.map((fault) => ({ file, fault, name: fault[0] })));
  const unknown = names.filter((name) => !all.some((one) => one.name === name));
  if (unknown.length > 0) throw new Error(`no such fault: ${unknown.join(', ')}`);
  const found: { name: string; seeds: number | undefined; why: string }[] = [];
  using scratch = new Scratch();
  for (const { file, fault, name } of all) {
    if (names.length > 0 && !names.includes(name)) continue;
    const tried = await scratch.within(file, fault, async (root) => {
      const { stdout, stderr, timedOut } = await execa(
        process.execPath,
        ['test/simulation/main.ts', '--first-only', '--json', '--seeds', String(seeds)],
        { cwd: root, reject: false, timeout: HANGS, forceKillAfterDelay: 1_000 },
      );
      if (timedOut) return 1;
      const said = stdout.trim().split('\n').at(-1) ?? '';
      if (!said.startsWith('{')) return `no run: ${stderr.slice(-300)}`;
      const { seeds: played, failed } = JSON.parse(said) as { seeds: number; failed: number | null };
      return failed === null ? undefined : played;
    });
    const needed = typeof tried === 'number' ? tried : undefined;
    found.push({ name, seeds: needed, why: fault[3] });
    if (!json) console.log(`| \`${name}\` | ${fault[3]} | ${typeof tried === 'string' ? tried : (needed ?? `not within ${seeds}`)} |`);
  }
  const missed = found.filter((one) => one.seeds === undefined);
  if (json) console.log(JSON.stringify(found));
  else console.log(`\n${found.length - missed.length} of ${found.length} faults found`);
  if (missed.length > 0) process.exitCode = 1;
}
