import type { Ended, ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import type { TokenEvent } from '#broker/audit/token-event.ts';
import { PosternError } from '#broker/error.ts';
import { currentSpan } from '#broker/span.ts';
import type { Served } from '#broker/token/cache.ts';
import { Distribution } from './distribution.ts';
import { counter, histogram } from './metric.ts';
import type { Labels, Metric } from './metric.ts';

/** Kinds of exchanges that have a count each; those of further APIs are counted together. */
const MAX_KINDS = 1_500;
/** Tenants whose exchanges are counted, where a setting asks for it. */
const MAX_TENANTS = 100_000;
const OTHER = 'other';

interface Kind {
  readonly labels: Labels;
  count: number;
}

/** Counts exchanges, in plain numbers. Whatever clients send, the kinds are few: no label holds anything that a client wrote. */
export class ExchangeCounts implements ExchangeWatch {
  /** api -> door and result -> count */
  readonly #kinds = new Map<string, Map<string, Kind>>();
  #size = 0;
  readonly #paths = { hit: new Distribution(), cold: new Distribution(), refused: new Distribution() };
  readonly #presented = new Map<string, Kind>();
  readonly #tenants = new Map<string, number>();
  readonly #shownTenants: number;

  /** @param tenants how many, of those with most exchanges, have a count of their own */
  constructor(tenants = 0) {
    this.#shownTenants = tenants;
  }

  granted({ door = 'token', startedAt, waited }: Ended, { grant, from }: Served): void {
    const source = from === 'source' ? grant.source : from;
    this.#count(grant.api, door, 'granted', source).count++;
    (waited ? this.#paths.cold : this.#paths.hit).observe(performance.now() - startedAt, currentSpan()?.traceId);
    if (this.#shownTenants > 0) this.#countTenant(grant.tenant);
  }

  refused({ door = 'token', startedAt, trace }: Ended, error: unknown): void {
    this.#count(trace.grant?.api ?? '', door, 'refused', codeOf(error)).count++;
    this.#paths.refused.observe(performance.now() - startedAt, currentSpan()?.traceId);
  }

  presented(event: TokenEvent['event'], outcome: TokenEvent['outcome'], error?: unknown): void {
    const code = error === undefined ? '' : codeOf(error);
    const key = `${event} ${outcome} ${code}`;
    let kind = this.#presented.get(key);
    if (kind === undefined)
      this.#presented.set(key, (kind = { labels: { event: event.replace(/^token\./, ''), outcome, error: code }, count: 0 }));
    kind.count++;
  }

  metrics(): Metric[] {
    const kinds = [...this.#kinds.values()].flatMap((of) => [...of.values()]);
    return [
      counter('postern_exchanges_total', 'Exchanges of a credential for a token, granted or refused.', kinds.map(sampleOf)),
      histogram(
        'postern_exchange_duration_seconds',
        'From the first byte of an exchange to its answer: hit (this memory alone was asked), cold or refused.',
        Object.entries(this.#paths).map(([path, distribution]) => [{ path }, distribution] as const),
      ),
      counter('postern_presented_tokens_total', 'Tokens shown to be introspected or revoked.', [...this.#presented.values()].map(sampleOf)),
      ...(this.#shownTenants > 0 ? [this.#tenantMetric()] : []),
    ];
  }

  /** @param result where the token came from, or the code of the refusal */
  #count(api: string, door: string, outcome: 'granted' | 'refused', result: string): Kind {
    let of = this.#kinds.get(api);
    const key = door + result;
    const known = of?.get(key);
    if (known !== undefined) return known;
    if (this.#size >= MAX_KINDS && api !== OTHER) return this.#count(OTHER, door, outcome, result);
    if (of === undefined) this.#kinds.set(api, (of = new Map<string, Kind>()));
    const granted = outcome === 'granted';
    const kind = { labels: { door, outcome, error: granted ? '' : result, api, source: granted ? result : '' }, count: 0 };
    of.set(key, kind);
    this.#size++;
    return kind;
  }

  #countTenant(tenant: string): void {
    const count = this.#tenants.get(tenant);
    if (count !== undefined || this.#tenants.size < MAX_TENANTS) this.#tenants.set(tenant, (count ?? 0) + 1);
  }

  #tenantMetric(): Metric {
    const most = [...this.#tenants].sort(([, a], [, b]) => b - a).slice(0, this.#shownTenants);
    return counter(
      'postern_tenant_exchanges_total',
      'Exchanges granted to the tenants that have most (POSTERN_METRICS_TENANTS).',
      most.map(([tenant, value]) => ({ labels: { tenant }, value })),
    );
  }
}

function codeOf(error: unknown): string {
  return error instanceof PosternError ? error.code : 'internal';
}

function sampleOf({ labels, count }: Kind): { labels: Labels; value: number } {
  return { labels, value: count };
}
