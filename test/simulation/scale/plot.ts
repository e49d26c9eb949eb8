export interface Series {
  readonly name: string;
  readonly values: ArrayLike<number>;
}

export interface PlotOptions {
  readonly title: string;
  /** What stands at the lower edge: ticks, by the number of the value. */
  readonly ticks: readonly (readonly [at: number, label: string])[];
  readonly unit: string;
  readonly series: readonly Series[];
}

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [860, 240, 70, 34, 28] as const;
const COLOURS = ['#0b6e99', '#c2410c', '#4d7c0f', '#7e22ce'];

/** Plots below one another, each with a scale of its own from 0 on. */
export function svg(plots: readonly PlotOptions[]): string {
  const height = plots.length * HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" role="img">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...plots.flatMap((one, index) => [`<g transform="translate(0 ${index * HEIGHT})">`, ...plot(one), '</g>']),
    '</svg>',
    '',
  ].join('\n');
}

function plot({ title, ticks, unit, series }: PlotOptions): string[] {
  const count = Math.max(...series.map(({ values }) => values.length));
  const top = roundUp(Math.max(1, ...series.map(({ values }) => Array.from(values).reduce((most, one) => Math.max(most, one), 0))));
  const x = (i: number): number => LEFT + ((WIDTH - LEFT - 10) * i) / Math.max(1, count - 1);
  const y = (value: number): number => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / top;
  const grid = [0, 0.5, 1].flatMap((part) => [
    `<line x1="${LEFT}" x2="${WIDTH - 10}" y1="${y(part * top)}" y2="${y(part * top)}" stroke="#ddd"/>`,
    `<text x="${LEFT - 6}" y="${y(part * top) + 4}" text-anchor="end">${shown(part * top)}</text>`,
  ]);
  const labels = ticks.map(([at, label]) => `<text x="${x(at).toFixed(1)}" y="${HEIGHT - 10}" text-anchor="middle">${label}</text>`);
  const lines = series.map(({ values }, index) => {
    const points = Array.from(values, (value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    return `<polyline fill="none" stroke="${COLOURS[index % COLOURS.length]}" stroke-width="1.5" points="${points}"/>`;
  });
  const names = series.map(
    ({ name }, index) => `<text x="${LEFT + 260 + index * 105}" y="18" fill="${COLOURS[index % COLOURS.length]}">${name}</text>`,
  );
  return [`<text x="${LEFT}" y="18" font-weight="bold">${title}, ${unit}</text>`, ...grid, ...labels, ...lines, ...names];
}

function roundUp(value: number): number {
  const step = 10 ** Math.floor(Math.log10(value));
  return Math.ceil(value / step) * step;
}

const shown = (value: number): string =>
  value >= 1_000 ? `${Number((value / 1_000).toPrecision(3))}k` : String(Number(value.toPrecision(3)));
