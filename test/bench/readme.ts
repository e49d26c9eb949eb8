import { costOf, ratiosOf } from './line.ts';
import type { Line } from './line.ts';
import { median } from './median.ts';
import type { PartResult } from './results.ts';

const HEAD = `# Benchmarks

\`make bench\` writes this folder: everything is measured side by side in one run, turn by turn, servers on core 0 and the load on
core 1. Each ratio is the median of the rounds' ratios, with the least and the greatest beside it. **A ratio that moves with the machine is
told with both**: the rates, and the processor time (user and system) that one request costs either server, which the load of others moves
less. Every round is kept as JSON in \`rounds/\`. A part is measured anew by \`make bench ARGS='--only PART'\`; the others keep what they had.

What is asked, beside older figures and figures of other machines, is in [numbers.md](../numbers.md).

![Ratios of each comparison, round by round](ratios.svg)
`;

/** docs/benchmarks/README.md. */
export function readme(results: readonly PartResult[]): string {
  return [HEAD, ...results.map(section)].join('\n');
}

function section({ part, at, machine, options, took, lines, notHere }: PartResult): string {
  const where =
    `Measured ${at.slice(0, 16).replace('T', ' ')} UTC on ${machine.cores} × ${machine.cpu}, ${machine.memory} GB, ${machine.system}, ` +
    `Node ${machine.node.slice(1)}, Vault ${machine.vault}; commit ${machine.commit}; ${options.rounds} rounds of ${options.seconds} s, ` +
    `${took} s in all; load of the machine when it began: ${machine.load}${machine.load >= 0.5 * machine.cores ? ' (**busy with other work**)' : ''}.`;
  const rows = lines.map(row).join('\n');
  return [
    `## ${part}\n`,
    `${where}\n`,
    ...(notHere === undefined ? [] : [`Not here: ${notHere}\n`]),
    ...(lines.length === 0
      ? []
      : [`| what | goal | measured | rounds | CPU a request | |\n| --- | --- | --- | --- | --- | --- |\n${rows}\n`]),
  ].join('\n');
}

function row({ what, goal, measured, reached, compared }: Line): string {
  const verdict = reached === undefined ? '' : reached ? 'reached' : '**missed**';
  if (compared === undefined) return cells(what, goal, measured, '', '', verdict);
  const ratios = ratiosOf(compared.ours, compared.other);
  return cells(
    what,
    goal,
    `${median(ratios).toFixed(2)} (${rate(compared.ours)}/s over ${rate(compared.other)}/s)`,
    `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`,
    costOf(compared.ours, compared.other) ?? '',
    verdict,
  );
}

function rate(samples: readonly { readonly rate: number }[]): string {
  return Math.round(median(samples.map((sample) => sample.rate))).toLocaleString('en-US');
}

function cells(...texts: readonly string[]): string {
  return `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
}
