import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface Readiness {
  /** What is missing before this replica can serve, in words for an operator; empty when ready. */
  missing(): readonly string[];
  /** Why it serves only those that it knows already, in words; empty or left out: it serves all. */
  degraded?(): readonly string[];
  /** What an operator must know though it serves; `postern doctor --url` shows it. */
  warnings?(): readonly string[];
}

/**
 * `/livez`: the process answers. `/readyz`: it can serve. A Vault that doesn't answer makes no replica unready that was ready: that hits
 * all replicas, whose warm tokens are then worth the most, and taking them all out of rotation would end what still works. It is told
 * as `degraded`, with 200. What hits this replica alone makes it unready.
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
        const why = readiness.degraded?.() ?? [];
        const status = why.length > 0 ? { status: 'degraded', why } : { status: 'ready' };
        if (missing.length === 0) replyJson(response, 200, JSON.stringify({ ...status, ...(warnings.length > 0 ? { warnings } : {}) }));
        else replyJson(response, 503, JSON.stringify({ status: 'not ready', missing }));
      },
    },
  ];
}
