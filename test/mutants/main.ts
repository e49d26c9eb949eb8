import { rooms } from './rooms.ts';
import { Scratch } from './scratch.ts';
import { survivors } from './survivors.ts';

/**
 * `make mutants`: puts one fault after the other into a copy of the security core and runs the unit tests on it. Names in
 * the arguments narrow it. Ends with 1 when a fault goes unnoticed that `survivors.ts` doesn't name, when fewer than 95 % are
 * noticed, or when a fault no longer fits the code, so that the list can't rot unseen.
 */
const AT_ONCE = 2;
const LEAST = 0.95;

const all = rooms.flatMap((room) =>
  Object.entries(room).flatMap(([file, mutants]) => mutants.map((mutant) => ({ file, mutant, name: mutant[0] }))),
);
const twice = all.filter(({ name }, index) => all.findIndex((other) => other.name === name) !== index).map(({ name }) => name);
const wanted = process.argv.slice(2);
const unknown = [...wanted, ...Object.keys(survivors)].filter((name) => !all.some((one) => one.name === name));
if (twice.length > 0 || unknown.length > 0) throw new Error(`named twice: ${twice.join(', ')}; not there: ${unknown.join(', ')}`);

const queue = all.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const counts = { caught: 0, survived: 0, broken: 0 };
const total = queue.length;
let unexpected = 0;

async function work(): Promise<void> {
  using scratch = new Scratch();
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { name, file, mutant } = next;
    const { what, by } = await scratch.try(file, mutant);
    counts[what] += 1;
    const expected = Object.hasOwn(survivors, name) ? 'survived' : 'caught';
    if (what !== expected) unexpected += 1;
    const done = counts.caught + counts.survived + counts.broken;
    console.log(`${done}/${total} ${what.padEnd(8)} ${name} (${file})${by && what !== 'caught' ? `: ${by}` : ''}`);
    if (what === 'survived') console.log(`         ${survivors[name] ?? mutant[3]}`);
    else if (what === 'caught' && expected === 'survived') console.log('         take it out of survivors.ts');
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
console.log(`\n${counts.caught} of ${total} faults noticed, ${counts.survived} survived, ${counts.broken} could not be tried`);
if (unexpected > 0 || counts.caught < LEAST * total) process.exitCode = 1;
