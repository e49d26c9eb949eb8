import { LOOK_MS } from '#broker/credential/announcements.ts';
import { BESIDE } from '#broker/token/held-tokens.ts';
import { CATALOGUE_AGE } from '#broker/vault/apis.ts';
import { usagePath } from '#broker/vault/usage.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { Cluster } from './cluster.ts';
import type { ClusterOptions } from './cluster.ts';
import { COUNTED } from './counters.ts';
import type { Counted, Counters } from './counters.ts';
import { ledgerLoad } from './ledger.ts';
import type { LedgerLoad } from './ledger.ts';
import { OPERATIONS, prices } from './prices.ts';
import type { Operation, Price } from './prices.ts';
import { defaultSettings } from './settings.ts';
import type { BrokerSettings } from './settings.ts';
import { MIX } from './traffic.ts';

export interface ScenarioOptions {
  readonly tenants: number;
  readonly sample: number;
  readonly replicas: number;
  readonly balance: ClusterOptions['balance'];
  readonly lifetime: number;
  /** Of virtual time. */
  readonly days: number;
  readonly seed: number;
  readonly settings?: Partial<BrokerSettings>;
}

const HOUR = 3_600;
/** Characters of an access token. */
const TOKEN = 900;
/** What a remembered verification costs: identity, grants, its three entries; bytes, measured with 20,000. */
const VERIFICATION = 3_000;

/** What a whole scenario came to. */
export interface Outcome {
  readonly options: ScenarioOptions;
  /** A second, in the mean. */
  readonly rates: Readonly<Record<Counted, number>>;
  /** The busiest hour, a second. */
  readonly peaks: Readonly<Record<Counted, number>>;
  /** Requests a second to Vault that nobody's request causes: looks, catalogue, last uses. */
  readonly standing: Readonly<Record<'looks' | 'catalogue' | 'usage', number>>;
  readonly ledger: LedgerLoad;
  /** By hour. */
  readonly hours: Counters;
  /** Of a replica: in memory. */
  readonly held: { readonly tokens: number; readonly credentials: number };
  readonly bytes: number;
}

async function clusterOf(options: ScenarioOptions, start = 0): Promise<Cluster> {
  const { tenants, sample, replicas, balance, lifetime, seed } = options;
  return new Cluster({
    tenants,
    sample,
    replicas,
    balance,
    lifetime,
    settings: settingsOf(options),
    prices: await prices(),
    mix: MIX,
    random: seeded(seed),
    start,
  });
}

const settingsOf = ({ settings }: ScenarioOptions): BrokerSettings => ({ ...defaultSettings(), ...settings });
const requestsOf = (price: Price): number => OPERATIONS.reduce((sum, name) => sum + price[name], 0);

/** Days of ordinary life. */
export async function ordinary(options: ScenarioOptions): Promise<Outcome> {
  const { days, tenants, replicas } = options;
  const cluster = await clusterOf(options);
  const hours = cluster.run(0, days * 24 * HOUR, HOUR);
  const { look, catalogue } = await prices();
  const { usageInterval } = settingsOf(options);
  const rate = (name: Counted): number => hours.sum(name) / (days * 24 * HOUR);
  const { held } = cluster;
  return {
    options,
    rates: each(rate),
    peaks: each((name) => Math.max(...hours.of(name)) / HOUR),
    standing: {
      looks: (replicas * requestsOf(look) * 1000) / LOOK_MS,
      catalogue: (replicas * requestsOf(catalogue) * 1000) / CATALOGUE_AGE,
      // Of each document a reading and a writing; keys and tenants have documents of their own.
      usage: (replicas * 2 * 2 * usageDocuments(tenants / replicas)) / usageInterval,
    },
    ledger: ledgerLoad({ tenants, replicas, fetched: rate('source calls'), usageInterval }),
    hours,
    held,
    bytes: held.tokens * (TOKEN + BESIDE) + held.credentials * VERIFICATION,
  };
}

function each(value: (name: Counted) => number): Record<Counted, number> {
  return Object.fromEntries(COUNTED.map((name) => [name, value(name)])) as Record<Counted, number>;
}

/** Documents that so many tenants' last uses are written to. */
function usageDocuments(tenants: number): number {
  const paths = new Set<string>();
  for (let n = 0; n < Math.min(tenants, 5_000); n++) paths.add(usagePath('tenant', `tenant-${n}`));
  return paths.size;
}

export const HERDS = {
  jobs: 'nothing happens but the jobs of the full five minutes',
  restart: 'every replica starts anew in one second',
  rolling: 'one replica after another starts anew, one each 3 s',
  forget: 'all verifications are forgotten (a change of the catalogue by Terraform)',
  void: 'every token is void at once (a signing key taken out of use)',
} as const;
export type Herd = keyof typeof HERDS;

export interface HerdOutcome {
  /** Requests to Vault by second; the event comes after {@link BEFORE}. */
  readonly vault: Float64Array;
  readonly logins: Float64Array;
  readonly source: Float64Array;
}

/** Seconds before the event that are shown. */
export const BEFORE = 30;
const AFTER = 300;
/** In the busiest hours of most tenants, between two full five minutes. */
const START = 11 * HOUR + 30 * 60;
const AT = START + 22 * 60 + 10;
/** Tenants that are simulated for a herd: seconds are looked at, so they are many, and shortly. */
const CROWD = 20_000;

export async function herd(options: ScenarioOptions, which: Herd): Promise<HerdOutcome> {
  const { replicas, tenants } = options;
  const cluster = await clusterOf({ ...options, sample: Math.max(1, Math.round(tenants / CROWD)) }, START);
  cluster.run(START, AT, HOUR);
  const parts = [cluster.run(AT, AT + BEFORE, 1)];
  let at = AT + BEFORE;
  const end = at + AFTER;
  if (which === 'restart') cluster.restart();
  if (which === 'forget') cluster.forgetVerifications();
  if (which === 'void') cluster.voidTokens();
  if (which === 'rolling')
    for (let one = 0; one < replicas && at < end; one++) {
      cluster.restart((replica) => replica === one);
      parts.push(cluster.run(at, at + 3, 1));
      at += 3;
    }
  if (at < end) parts.push(cluster.run(at, end, 1));
  const all = (of: (counters: Counters) => Float64Array): Float64Array => Float64Array.from(parts.flatMap((part) => [...of(part)]));
  return { vault: all((one) => one.vault()), logins: all((one) => one.of('login')), source: all((one) => one.of('source calls')) };
}

/** All tokens were issued in one second: when are the next ones fetched? By quarter of an hour, a second. */
export async function expiry(options: ScenarioOptions): Promise<Float64Array> {
  const cluster = await clusterOf(options);
  cluster.issuedTogether(0);
  return cluster
    .run(0, options.lifetime + HOUR, 900)
    .of('source calls')
    .map((calls) => calls / 900);
}

/** Of Vault, a second. */
export const vaultRate = (rates: Readonly<Record<Counted, number>>): number =>
  OPERATIONS.reduce((sum, name: Operation) => sum + rates[name], 0);
