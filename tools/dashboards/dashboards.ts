import { plugin } from './plugin.ts';
import { service } from './service.ts';
import { tenants } from './tenants.ts';
import { upstream } from './upstream.ts';

/** Where they lie in the checkout, one file each. */
export const FOLDER = 'deploy/observability/dashboards';

/** File name and text of each dashboard. */
export const dashboards: ReadonlyMap<string, string> = new Map(
  Object.entries({ service, tenants, upstream, plugin }).map(([name, made]) => [`${name}.json`, `${JSON.stringify(made, null, 2)}\n`]),
);
