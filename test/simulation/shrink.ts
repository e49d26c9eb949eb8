import type { Plan } from './plan.ts';
import { simulate } from './simulation.ts';
import type { Outcome } from './simulation.ts';

/** Most runs that are spent on making one history shorter. */
const RUNS = 250;

/**
 * Takes out of a plan what isn't needed to break the same rule: halves first, then quarters, and at last each by itself (Zeller's delta
 * debugging).
 */
export async function shrink(plan: Plan, outcome: Outcome): Promise<{ readonly plan: Plan; readonly outcome: Outcome }> {
  let best = { plan, outcome };
  let runs = 0;
  for (let size = Math.ceil(plan.happenings.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.plan.happenings.length && runs < RUNS;) {
      const happenings = best.plan.happenings.filter((_, index) => index < from || index >= from + size);
      const tried = { ...best.plan, happenings };
      const again = await simulate(tried);
      runs++;
      if (again.violation?.rule === outcome.violation?.rule) best = { plan: tried, outcome: again };
      else from += size;
    }
  }
  return best;
}
