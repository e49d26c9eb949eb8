import { violations } from './law.ts';

/** `make lint`: prints each forbidden import and ends with 1 when there is one. */
const found = await violations();
// A chain is worth reading only where each of its links is allowed.
const direct = found.filter(({ via }) => via.length === 0);
for (const { rule, from, to, via } of direct.length > 0 ? direct : found) {
  console.error(`${rule}: ${[from, ...(via.length > 0 ? via : [to])].join(' -> ')}`);
}
if (found.length > 0) {
  console.error('\nForbidden imports: .dependency-cruiser.mjs says what each rule is for.');
  process.exitCode = 1;
}
