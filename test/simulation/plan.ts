import { Chance } from './chance.ts';
import { movesOf, stillOf, widerOf } from './moves.ts';

/** What is the same for all of one simulation. */
export interface Settings {
  readonly replicas: number;
  readonly tenants: number;
  readonly apis: number;
  /** Of an access token, seconds. */
  readonly lifetime: number;
  /** How long a verification is remembered, seconds. */
  readonly verifyTtl: number;
  /** Of Vault tokens, seconds. */
  readonly tenantTtl: number;
  readonly brokerTtl: number;
  /** By how much each replica's wall clock is off, ms. */
  readonly skews: readonly number[];
  /** One way between two machines, ms. */
  readonly latency: number;
  /** Most entries of each memory. */
  readonly room: number;
  /** A token is served with so much life left, or half of it where that is less, seconds. */
  readonly remaining: number;
  /** How long what is known is gone by beyond its time while Vault is away, seconds. */
  readonly grace: number;
}

/** What somebody does, or what breaks, at one time (ms). Taking one out leaves the others as they are. */
export type Happening = { readonly at: number } & (
  | {
      readonly what: 'ask';
      readonly replica: number;
      readonly tenant: number;
      readonly api: number;
      readonly narrow: boolean;
      readonly times: number;
      /** With the credential that ended last. */
      readonly old?: boolean;
    }
  | {
      readonly what: 'issue' | 'revoke' | 'disable' | 'enable' | 'recreate' | 'narrow' | 'widen' | 'end-tokens' | 'clear' | 'shut' | 'open';
      readonly tenant: number;
    }
  | {
      /** A credential that has an end of its own. */
      readonly what: 'lend';
      readonly tenant: number;
      readonly seconds: number;
    }
  | {
      readonly what: 'destroy';
      readonly tenant: number;
      /** Whether brokers are told that something of this tenant changed. */
      readonly told: boolean;
    }
  | { readonly what: 'withdraw'; readonly replica: number; readonly tenant: number; readonly api: number }
  | { readonly what: Fault; readonly for: number; readonly replica: number; readonly much: number }
  | { readonly what: 'set-clock'; readonly replica: number; readonly by: number }
  | { readonly what: 'end-broker-tokens' }
);

/** What lasts for a while. `much`: how many of the calls, or how slow, 0 to 1. */
export const FAULTS = [
  'crash',
  'cut-vault',
  'refuse-vault',
  'cut-auth0',
  'vault-electing',
  'vault-sealed',
  'vault-frozen',
  'vault-errs',
  'vault-throttles',
  'vault-slow',
  'vault-loses',
  'vault-late',
  'vault-denies',
  'auth0-slow',
  'auth0-throttles',
  'auth0-errs',
  'auth0-hung',
] as const;
/**
 * Besides, only in some worlds: one of the documents that are announced can't be read (`much` says which); a process is frozen, while time
 * goes on; its machine sleeps, and only its wall clock knows of it.
 */
export type Fault = (typeof FAULTS)[number] | 'vault-denies-one' | 'stands-still' | 'sleeps';

export interface Plan {
  readonly seed: number;
  readonly settings: Settings;
  readonly happenings: readonly Happening[];
  /** When the last fault has healed, ms. */
  readonly healed: number;
}

/** From when on all is there, ms. */
export const BEGINNING = 3_000;

/** Everything that will happen, from the seed alone. */
export function planOf(seed: number): Plan {
  const chance = new Chance(seed, 'plan');
  const replicas = chance.whole(2, 3);
  // One seed in ten plays what was thought of later, so that the others play what they did.
  const wider = seed % 10 === 3 ? new Chance(seed, 'wider') : undefined;
  const skewed = chance.maybe(0.35);
  const settings: Settings = {
    replicas,
    tenants: chance.whole(2, 3),
    apis: chance.whole(1, 2),
    lifetime: chance.oneOf([40, 60, 120]),
    remaining: wider === undefined ? 60 : 5,
    grace: wider?.oneOf([0, 3_600, 3_600]) ?? 3_600,
    verifyTtl: chance.oneOf([2, 5, 30]),
    tenantTtl: chance.oneOf([10, 60, 600]),
    brokerTtl: chance.oneOf([20, 60, 600]),
    skews: Array.from({ length: replicas }, () => (skewed ? chance.whole(-16_000, 16_000) : 0)),
    latency: chance.oneOf([1, 5, 40]),
    // In an outage it matters what is remembered.
    room: Math.max(chance.oneOf([2, 100]), wider === undefined ? 0 : 100),
  };
  const end = BEGINNING + chance.oneOf([6_000, 12_000, 30_000]);
  // A third is without faults: only there the strictest of what must hold can be asked for.
  const broken = chance.maybe(0.67);
  const at = (): number => chance.whole(BEGINNING, end);
  const tenant = (): number => chance.whole(0, settings.tenants - 1);
  const replica = (): number => chance.whole(0, replicas - 1);
  const happenings: Happening[] = [];
  const asks = chance.whole(10, 40);
  // Many at about the same time meet each other, and what somebody does then.
  const moments = Array.from({ length: chance.whole(2, 6) }, at);
  const near = (): number => (chance.maybe(0.6) ? Math.max(BEGINNING, chance.oneOf(moments) + chance.whole(-300, 300)) : at());
  for (let i = 0; i < asks; i++)
    happenings.push({
      at: near(),
      what: 'ask',
      replica: replica(),
      tenant: tenant(),
      api: chance.whole(0, settings.apis - 1),
      narrow: chance.maybe(0.25),
      times: chance.maybe(0.15) ? chance.whole(2, 12) : 1,
    });
  const acts = [
    'issue',
    'revoke',
    'disable',
    'enable',
    'recreate',
    'narrow',
    'widen',
    'end-tokens',
    'clear',
    'destroy',
    'withdraw',
  ] as const;
  const changes = chance.whole(0, 8);
  for (let i = 0; i < changes; i++) {
    const what = chance.oneOf(acts);
    const common = { at: near(), tenant: tenant() };
    if (what === 'withdraw') happenings.push({ ...common, what, replica: replica(), api: chance.whole(0, settings.apis - 1) });
    else if (what === 'destroy') happenings.push({ ...common, what, told: chance.maybe(0.3) });
    else happenings.push({ ...common, what });
  }
  if (broken) {
    const faults = chance.whole(1, 5);
    for (let i = 0; i < faults; i++) {
      const lasts = chance.oneOf([300, 2_000, 6_000, 12_000]);
      happenings.push({
        at: near(),
        what: chance.oneOf(FAULTS),
        for: chance.whole(lasts / 3, lasts),
        replica: replica(),
        much: chance.between(0.1, 1),
      });
    }
    if (chance.maybe(0.25)) happenings.push({ at: near(), what: 'set-clock', replica: replica(), by: chance.whole(-8_000, 8_000) });
    if (chance.maybe(0.1)) happenings.push({ at: near(), what: 'end-broker-tokens' });
  }
  happenings.push(...movesOf({ chance: new Chance(seed, 'moves'), settings, begin: BEGINNING, end }, broken));
  if (wider !== undefined) happenings.push(...widerOf({ chance: wider, settings, begin: BEGINNING, end }));
  if (seed % 10 === 7) happenings.push(...stillOf({ chance: new Chance(seed, 'still'), settings, begin: BEGINNING, end }));
  const isAsleep = ({ at, replica }: { readonly at: number; readonly replica: number }): boolean =>
    happenings.some((one) => one.what === 'sleeps' && one.replica === replica && one.at <= at && at <= one.at + one.for);
  // Set back while its machine sleeps, and by as much, a clock would hide that it slept.
  const sensible = happenings.filter((one) => one.what !== 'set-clock' || !isAsleep(one)).toSorted((one, other) => one.at - other.at);
  const healed = Math.max(end, ...sensible.map((one) => one.at + ('for' in one ? one.for : 0)));
  return { seed, settings, happenings: sensible, healed };
}

/** In words, for a history. */
export function said({ at, what, ...more }: Happening): string {
  return `${(at / 1000).toFixed(3).padStart(8)} s  ${what} ${Object.entries(more)
    .map(([name, value]) => `${name}=${typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : String(value)}`)
    .join(' ')}`;
}
