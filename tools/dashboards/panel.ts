import type { cog } from './sdk.ts';
import { common, dashboard, prometheus, stat, timeseries } from './sdk.ts';

/** Grafana's names of units. */
export type Unit = 'short' | 'reqps' | 's' | 'percentunit' | 'bytes' | 'cps';

/** One query, each of whose series is a line. */
export interface Query {
  readonly expr: string;
  /** How a line is called: `{{label}}` is a label's value. Default: all labels. */
  readonly legend?: string;
}

export interface Drawing {
  readonly title: string;
  /** What it says, and what to look at where it goes wrong. */
  readonly what: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
}

const SOURCE: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' };
const COLUMNS = 24;

/** The series of a metric that the dashboard's variables choose, with these matchers. */
export function of(metric: string, matchers = ''): string {
  return `${metric}{${matchers === '' ? '' : `${matchers},`}job=~"$job",instance=~"$instance"}`;
}

/** How often a second, over as long a time as the picture's resolution needs. */
export function rate(metric: string, matchers = ''): string {
  return `rate(${of(metric, matchers)}[$__rate_interval])`;
}

/** @param by labels that tell the lines apart */
export function quantile(q: number, metric: string, { matchers = '', by = '' }: { matchers?: string; by?: string } = {}): string {
  return `histogram_quantile(${q}, sum by (le${by === '' ? '' : `, ${by}`}) (${rate(`${metric}_bucket`, matchers)}))`;
}

/** Lines over time. */
export function graph(
  { title, what, unit, queries }: Drawing,
  { stacked = false, max, columns = 8 }: { stacked?: boolean; max?: number; columns?: number } = {},
): timeseries.PanelBuilder {
  const panel = new timeseries.PanelBuilder()
    .title(title)
    .description(what)
    .unit(unit)
    .min(0)
    .datasource(SOURCE)
    .height(8)
    .span(columns)
    .lineWidth(1)
    .fillOpacity(stacked ? 40 : 8)
    .showPoints(common.VisibilityMode.Never)
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending))
    .legend(new common.VizLegendOptionsBuilder().showLegend(true).placement(common.LegendPlacement.Bottom));
  if (stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal));
  if (max !== undefined) panel.max(max);
  for (const [at, query] of queries.entries()) panel.withTarget(target(query, at));
  return panel;
}

/** The last value in large letters. @param steps from which value on it has which colour; the first counts from below all */
export function value(
  { title, what, unit, queries }: Drawing,
  steps: readonly (readonly [from: number | null, color: string])[] = [[null, 'text']],
): stat.PanelBuilder {
  const panel = new stat.PanelBuilder()
    .title(title)
    .description(what)
    .unit(unit)
    .datasource(SOURCE)
    .height(4)
    .span(4)
    .graphMode(common.BigValueGraphMode.Area)
    .colorMode(common.BigValueColorMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .thresholds(
      new dashboard.ThresholdsConfigBuilder()
        .mode(dashboard.ThresholdsMode.Absolute)
        .steps(steps.map(([from, color]) => ({ value: from, color }))),
    );
  for (const [at, query] of queries.entries()) panel.withTarget(target(query, at));
  return panel;
}

function target({ expr, legend }: Query, at: number): prometheus.DataqueryBuilder {
  const query = new prometheus.DataqueryBuilder()
    .refId(String.fromCodePoint(65 + at))
    .datasource(SOURCE)
    .expr(expr)
    .range()
    .editorMode(prometheus.QueryEditorMode.Code);
  return legend === undefined ? query : query.legendFormat(legend);
}

export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly what: string;
  /** The metric whose series say which jobs and instances there are. */
  readonly told: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly cog.Builder<dashboard.Panel>[] }[];
}

/** A dashboard as Grafana imports it. */
export function board({ uid, title, what, told, rows }: Board): dashboard.Dashboard {
  const made = new dashboard.DashboardBuilder(title)
    .uid(uid)
    .description(what)
    .tags(['postern'])
    .readonly()
    .refresh('30s')
    .time({ from: 'now-3h', to: 'now' })
    .timezone('browser')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .link(new dashboard.DashboardLinkBuilder('Postern').type(dashboard.DashboardLinkType.Dashboards).tags(['postern']).asDropdown(true))
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(choice('job', `label_values(${told}, job)`))
    .withVariable(choice('instance', `label_values(${told}{job=~"$job"}, instance)`));
  let y = 0;
  let id = 0;
  for (const { title: heading, panels } of rows) {
    made.withRow(new dashboard.RowBuilder(heading).id(++id).gridPos({ x: 0, y: y++, w: COLUMNS, h: 1 }));
    let x = 0;
    let height = 0;
    for (const one of panels) {
      const panel = one.build();
      const { w, h } = panel.gridPos ?? { w: 8, h: 8 };
      if (x + w > COLUMNS) {
        x = 0;
        y += height;
        height = 0;
      }
      made.withPanel({ build: () => ({ ...panel, id: ++id, gridPos: { x, y, w, h } }) });
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  return made.build();
}

function choice(name: string, query: string): dashboard.QueryVariableBuilder {
  return new dashboard.QueryVariableBuilder(name)
    .query({ query, refId: name })
    .datasource(SOURCE)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ text: 'All', value: '$__all', selected: true });
}
