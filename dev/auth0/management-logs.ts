import { Refusal } from './refusal.ts';
import type { LogDelivery } from './log-delivery.ts';
import type { Endpoint } from './management-endpoint.ts';

type Entry = Record<string, unknown> & { date: string };

/** Auth0's own limits: entries in a page, and entries that a search reaches in all. */
const PAGE = 100;
const REACH = 1_000;

/** Search of the tenant's log. https://auth0.com/docs/api/management/v2/logs/get-logs */
export function logEndpoints(log: LogDelivery): Endpoint[] {
  return [
    {
      pattern: /^GET logs$/,
      scope: 'read:logs',
      description: 'Search log events',
      handle: ({ query }) => {
        const from = query.get('from');
        const kept = log.kept();
        if (from !== null) {
          const start = kept.findIndex(({ log_id: id }) => id === from) + 1;
          return { status: 200, json: kept.slice(start, start + whole(query, 'take', 50)).map(({ data }) => shown(data)) };
        }
        const [page, size] = [whole(query, 'page', 0, Infinity), whole(query, 'per_page', 50)];
        if ((page + 1) * size > REACH)
          throw new Refusal(
            400,
            'Bad Request',
            `You can only page through the first ${REACH} records. See https://auth0.com/docs/logs#limitations`,
          );
        const matches = matcher(query.get('q') ?? '');
        const found: Entry[] = kept.map(({ data }) => data).filter(matches);
        const [field = 'date', direction = '-1'] = (query.get('sort') ?? 'date:-1').split(':');
        found.sort((a, b) => Number(direction) * String(a[field]).localeCompare(String(b[field])));
        const fields = query.get('fields')?.split(',');
        const logs = found
          .slice(page * size, (page + 1) * size)
          .map((entry) => Object.fromEntries(Object.entries(shown(entry)).filter(([name]) => fields?.includes(name) ?? true)));
        if (query.get('include_totals') !== 'true') return { status: 200, json: logs };
        return { status: 200, json: { start: page * size, limit: size, length: logs.length, total: found.length, logs } };
      },
    },
  ];
}

const shown = (data: Record<string, unknown>): Record<string, unknown> => ({ ...data, _id: data['log_id'] });

function whole(query: URLSearchParams, name: string, otherwise: number, most = PAGE): number {
  const value = Number(query.get(name) ?? otherwise);
  if (Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new Refusal(400, 'Bad Request', `Query validation error: '${value}' is no value of '${name}'. It is at most ${most}.`);
}

/** Of Lucene's syntax: terms `field:value` and `field:"value"`, joined by AND. */
function matcher(q: string): (entry: Entry) => boolean {
  const terms = q
    .split(' AND ')
    .filter((term) => term.trim() !== '')
    .map((term) => /^\s*([a-z_]+):(?:"([^"\\]*)"|([^\s":()]+))\s*$/.exec(term));
  if (terms.some((term) => term === null)) throw new Refusal(400, 'Bad Request', 'Query validation error: the query is not valid');
  return (entry) => terms.every((term) => entry[term?.[1] ?? ''] === (term?.[2] ?? term?.[3]));
}
