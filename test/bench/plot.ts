import { ratiosOf } from './line.ts';
import { median } from './median.ts';
import type { PartResult } from './results.ts';

const WIDTH = 1_000;
const LEFT = 520;
const RIGHT = 40;
const ROW = 26;
const TOP = 46;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/** Every comparison in a row: a dot a round, a stroke for the median, a hollow one for what is asked; the scale is logarithmic. */
export function plot(results: readonly PartResult[]): string {
  const rows = results.flatMap(({ lines }) =>
    lines.flatMap(({ what, compared }) =>
      compared === undefined ? [] : [{ what, goal: compared.goal, ratios: ratiosOf(compared.ours, compared.other) }],
    ),
  );
  const all = rows.flatMap(({ goal, ratios }) => [goal, ...ratios]);
  const low = STEPS.findLast((step) => step <= Math.min(1, ...all)) ?? STEPS[0]!;
  const high = STEPS.find((step) => step >= Math.max(1, ...all)) ?? STEPS.at(-1)!;
  const x = (ratio: number): string =>
    (LEFT + ((Math.log(ratio) - Math.log(low)) / (Math.log(high) - Math.log(low))) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const height = TOP + rows.length * ROW + 14;
  const grid = STEPS.filter((step) => step >= low && step <= high).map(
    (step) =>
      `<line x1="${x(step)}" x2="${x(step)}" y1="${TOP - 12}" y2="${height - 10}" class="${step === 1 ? 'one' : 'grid'}"/>` +
      `<text x="${x(step)}" y="${TOP - 18}" class="step">${step}×</text>`,
  );
  const marks = rows.map(({ what, goal, ratios }, at) => {
    const y = TOP + at * ROW + ROW / 2;
    return [
      `<text x="${LEFT - 14}" y="${y + 4}" class="what">${escaped(what)}</text>`,
      `<rect x="${(Number(x(goal)) - 3).toFixed(1)}" y="${y - 8}" width="6" height="16" class="goal"/>`,
      ...ratios.map((ratio) => `<circle cx="${x(ratio)}" cy="${y}" r="3.5" class="round"/>`),
      `<line x1="${x(median(ratios))}" x2="${x(median(ratios))}" y1="${y - 9}" y2="${y + 9}" class="median"/>`,
    ].join('');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">
<style>
.what { text-anchor: end; fill: #1f2328 } .step { text-anchor: middle; fill: #656d76; font-size: 11px }
.grid { stroke: #d0d7de } .one { stroke: #656d76; stroke-dasharray: 4 3 }
.round { fill: #0969da; fill-opacity: .45 } .median { stroke: #0969da; stroke-width: 3 }
.goal { fill: none; stroke: #bf3989; stroke-width: 1.5 }
</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="14" y="20" fill="#1f2328" font-size="14">Rates over the alternatives: rounds (dots), median (stroke), what is asked (box)</text>
${grid.join('\n')}
${marks.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
