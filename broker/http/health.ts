import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface Readiness {
  /** What is missing before this replica can serve, in words for an operator; empty when ready. */
  missing(): readonly string[];
  /** What an operator must know though it serves; `postern doctor --url` shows it. */
  warnings?(): readonly string[];
}

/**
 * `/livez`: the process answers. `/readyz`: it can serve. Once ready, a Vault outage does not make a
 * replica unready, since its warm tokens are then worth the most.
 */
export function healthRoutes(readiness: Readiness): Route[] {
  return [
    { path: '/livez', method: 'GET', handle: ({ response }) => replyJson(response, 200, '{"status":"alive"}') },
    {
      path: '/readyz',
      method: 'GET',
      handle: ({ response }) => {
        const missing = readiness.missing();
        const warnings = readiness.warnings?.() ?? [];
        if (missing.length === 0)
          replyJson(response, 200, JSON.stringify({ status: 'ready', ...(warnings.length > 0 ? { warnings } : {}) }));
        else replyJson(response, 503, JSON.stringify({ status: 'not ready', missing }));
      },
    },
  ];
}
