import { plugin } from './plugin.ts';
import { service } from './service.ts';
import { tenants } from './tenants.ts';
import { upstream } from './upstream.ts';

/** Where they lie in the checkout, one file each. */
export const FOLDER = 'deploy/observability/dashboards';
/** A chart reads no file outside of itself. */
const CHART = 'deploy/helm/postern/files';

/** File name and text of each dashboard. */
export const dashboards: ReadonlyMap<string, string> = new Map(
  Object.entries({ service, tenants, upstream, plugin }).map(([name, made]) => [`${name}.json`, `${JSON.stringify(made, null, 2)}\n`]),
);

/** What the Helm chart carries: the copy, and of what. */
export const inChart: ReadonlyMap<string, string> = new Map([
  [`${CHART}/alerts.yaml`, 'deploy/observability/alerts.yaml'],
  ...[...dashboards.keys()].map((name) => [`${CHART}/dashboards/${name}`, `${FOLDER}/${name}`] as const),
]);
