import { tryDoors } from '#test/integration/doors.ts';
import type { Line } from './line.ts';

const REQUESTS = 20_000;

export async function measureDoors(report: (line: string) => void): Promise<Line> {
  const { requests, granted, refused, doors, wrong } = await tryDoors({ requests: REQUESTS, report });
  for (const told of wrong.slice(0, 20)) report(told);
  return {
    what: '100 × 100 tenants and audiences, random doors: wrong answers',
    goal: '0',
    measured: `${wrong.length} of ${requests} (${granted} granted, ${refused} refused, ${Object.keys(doors).length} doors)`,
    reached: wrong.length === 0 && granted + refused === requests,
  };
}
