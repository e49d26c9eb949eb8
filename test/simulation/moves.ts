import type { Chance } from './chance.ts';
import type { Fault, Happening, Settings } from './plan.ts';

/** Where a move happens, and by which dice. */
interface Scene {
  readonly chance: Chance;
  readonly settings: Settings;
  /** The first and the last moment at which something may begin, ms. */
  readonly begin: number;
  readonly end: number;
}

type Place = { readonly tenant: number; readonly api: number };
/** Some things that belong together, close to each other. */
type Move = (scene: Scene) => Happening[];

/** Ends, or takes away, by one announcement. */
const ENDS = ['revoke', 'disable', 'narrow', 'end-tokens', 'recreate'] as const;
/** Announces something, whatever it is. */
const ACTS = [...ENDS, 'enable', 'widen'] as const;
/** A verification is gone by after so long, ms. */
const STALE = 60_000;
/** Between two times at which a broker tidies up what was revoked, ms. */
const TIDIES = 60_000;

/** Two people at the same moment: whoever overwrites the other has lost an announcement. */
const together: Move = (scene) => {
  const { chance, settings } = scene;
  const at = momentOf(scene);
  const acts = Array.from({ length: chance.whole(2, 3) }, (): Happening => {
    const what = chance.oneOf(chance.maybe(0.8) ? ENDS : ACTS);
    return { at: at + chance.whole(0, settings.latency), what, tenant: tenantOf(scene) };
  });
  return [...everywhere(scene, at - 1_500, 600), ...acts, ...everywhere(scene, at + 2_500, 4_000)];
};

/** Everybody wants the same new token at the same moment. */
const race: Move = (scene) => {
  const at = momentOf(scene);
  const place = placeOf(scene);
  return replicasOf(scene).flatMap((replica) => [
    asks(at + scene.chance.whole(0, 3), replica, place),
    asks(at + scene.chance.whole(0, 3), replica, place, { narrow: true }),
  ]);
};

/** The reply to a lease's write is lost, or Vault has no leader while it is under way; then the same broker is asked again. */
const lostLease: Move = (scene) => {
  const { chance, settings } = scene;
  // Early, or a token lies there already.
  const at = scene.begin + chance.whole(0, 600);
  const replica = replicaOf(scene);
  const what = chance.oneOf([
    'vault-loses',
    'vault-loses',
    'vault-loses',
    'vault-electing',
    'vault-frozen',
    'vault-late',
    'crash',
  ] as const);
  // A login and a reading of the grants come before it.
  const begins = at + chance.whole(3 * settings.latency, 6 * settings.latency);
  const lasts = what === 'vault-frozen' ? chance.whole(2_000, 4_000) : chance.whole(2 * settings.latency, 6 * settings.latency);
  const healed = begins + lasts;
  return [
    fault(begins, what, lasts, replica, 1),
    ...placesOf(scene).flatMap((place) => [
      asks(at, replica, place),
      asks(healed + chance.whole(50, 2_000), replica, place),
      asks(healed + chance.whole(2_000, 5_000), replica, place),
    ]),
  ];
};

/** A credential is destroyed in Vault by hand, and perhaps announced, while it is being verified: it comes again. */
const destroyed: Move = (scene) => {
  const { chance, settings } = scene;
  const at = momentOf(scene);
  const place = placeOf(scene);
  const gone = at + chance.whole(0, 1_500);
  const before = replicasOf(scene).flatMap((replica) => [asks(at, replica, place), asks(at + chance.whole(0, 1_500), replica, place)]);
  const after = replicasOf(scene).flatMap((replica) => [
    asks(gone + chance.whole(2_100, 8_000), replica, place, { old: true }),
    asks(gone + settings.verifyTtl * 1_000 + chance.whole(2_100, 6_000), replica, place, { old: true }),
  ]);
  return [...before, { at: gone, what: 'destroy', tenant: place.tenant, told: chance.maybe(0.7) }, ...after];
};

/** The same where some replies come late: what is announced overtakes the answer to a login. */
const overtaken: Move = (scene) => {
  const { chance, begin } = scene;
  const at = Math.max(momentOf(scene), begin + 3_000);
  const { tenant } = placeOf(scene);
  const gone = at + chance.whole(20, 500);
  const apis = placesOf(scene).filter((place) => place.tenant === tenant);
  const every = (from: number, to: number, old?: true): Happening[] =>
    replicasOf(scene).flatMap((replica) =>
      apis.map((place) => asks(chance.whole(from, to), replica, place, old === undefined ? {} : { old })),
    );
  return [
    // Nobody remembers it.
    { at: at - 2_500, what: 'widen', tenant },
    fault(at - 100, 'vault-late', chance.whole(1_000, 3_000), 0, chance.between(0.4, 1)),
    ...every(at - 50, at + 300),
    { at: gone, what: 'destroy', tenant, told: true },
    ...every(gone + 5_100, gone + 9_000, true),
    ...every(gone + 9_000, gone + 14_000, true),
  ];
};

/** A broker's wall clock is set back after it has verified a credential that is then destroyed. */
const clockBack: Move = (scene) => {
  const { chance, settings } = scene;
  const at = momentOf(scene);
  const place = placeOf(scene);
  const replica = replicaOf(scene);
  const back: Happening = { at: at + 400, what: 'set-clock', replica, by: -chance.whole(4_000, 20_000) };
  const old = Array.from({ length: 3 }, () =>
    asks(at + 600 + settings.verifyTtl * 1_000 + chance.whole(2_100, 9_000), replica, place, { old: true }),
  );
  return [asks(at, replica, place), back, { at: at + 600, what: 'destroy', tenant: place.tenant, told: false }, ...old];
};

/** Much is asked of one broker while Auth0 is away; then nothing, until all is asked for at once. */
const storm: Move = (scene) => {
  const { chance, settings, end } = scene;
  const replica = replicaOf(scene);
  const what = chance.oneOf(['auth0-errs', 'cut-auth0'] as const);
  const all = placesOf(scene).flatMap((place) =>
    [false, true].flatMap((narrow) => [
      asks(end + chance.whole(50, 1_500), replica, place, { narrow }),
      asks(end + chance.whole(1_500, 3_000), replica, place, { narrow }),
    ]),
  );
  // Tokens of before would be served on.
  const ended = Array.from({ length: settings.tenants }, (_, tenant): Happening => ({ at: end - 2_000, what: 'end-tokens', tenant }));
  return [...(chance.maybe(0.7) ? ended : []), fault(end, what, 4_500, replica, 1), ...all];
};

/** Vault is slow, one way or the other, around something that is announced. */
const slowly: Move = (scene) => {
  const { chance } = scene;
  const at = momentOf(scene);
  const what = chance.oneOf(['vault-slow', 'vault-late'] as const);
  const act: Happening = { at: at + chance.whole(0, 1_500), what: chance.oneOf(ENDS), tenant: tenantOf(scene) };
  return [
    ...everywhere(scene, at - 1_000, 3_000),
    fault(at, what, chance.whole(800, 3_000), replicaOf(scene), chance.between(0.2, 1)),
    act,
    ...everywhere(scene, at + 10_500, 3_000),
  ];
};

/** Brokers may not read any more what is announced, and may do all else. */
const deaf: Move = (scene) => {
  const { chance } = scene;
  const at = momentOf(scene);
  const lasts = STALE + chance.whole(6_000, 12_000);
  const during = Array.from({ length: 12 }, () => asks(at + chance.whole(STALE, lasts), replicaOf(scene), placeOf(scene)));
  return [...everywhere(scene, at + STALE - 5_000, 2_000), fault(at, 'vault-denies', lasts, 0, 1), ...during];
};

/** A token is taken back at one broker, and lies in the memory of another, which isn't asked for it until it has tidied up. */
const tidied: Move = (scene) => {
  const { chance, settings, begin } = scene;
  const place = placeOf(scene);
  const at = Math.max(begin, TIDIES - chance.whole(2_500, 4_500));
  const [first = 0, ...others] = replicasOf(scene);
  const ask = (replica: number, from: number, to: number): Happening => asks(chance.whole(from, to), replica, place);
  return [
    asks(at, first, place),
    ...others.map((replica) => ask(replica, at + 300, at + 500)),
    { at: at + 700, what: 'withdraw', replica: first, ...place },
    ...others.map((replica) => ask(replica, Math.max(at + 3_000, TIDIES + 20 * settings.latency), TIDIES + 2_500)),
  ];
};

/** The tokens in memory become due, and more is asked than before; somebody ends something meanwhile. */
const renewed: Move = (scene) => {
  const { chance, settings, begin } = scene;
  const all = (part: number): Happening[] =>
    Array.from({ length: 8 }, () => everywhere(scene, begin + part * settings.lifetime * 1_000, 0.3 * settings.lifetime * 1_000)).flat();
  const act: Happening = {
    at: begin + chance.whole(0.75 * settings.lifetime * 1_000, settings.lifetime * 1_000),
    what: chance.oneOf(ENDS),
    tenant: tenantOf(scene),
  };
  return [...everywhere(scene, begin, 2_000), ...all(0.75), ...(chance.maybe(0.5) ? [act] : [])];
};

type Fallen = Extract<Happening, { readonly for: number }>;

/** Vault can't be reached, by one or by all. */
function outage({ chance, ...scene }: Scene, at: number, lasts: number): Fallen {
  const what = chance.oneOf(['cut-vault', 'cut-vault', 'refuse-vault', 'vault-sealed', 'vault-electing'] as const);
  return fault(at, what, lasts, replicaOf({ chance, ...scene }), 1);
}

/** What was announced before an outage holds in it. */
const known: Move = (scene) => {
  const { chance } = scene;
  const at = momentOf(scene);
  const tenant = tenantOf(scene);
  const away = outage(scene, at + chance.whole(2_500, 6_000), chance.whole(8_000, 15_000));
  const act: Happening = chance.maybe(0.6) ? { at, what: 'destroy', tenant, told: true } : { at, what: chance.oneOf(ENDS), tenant };
  const old = chance.maybe(0.7);
  const during = placesOf(scene).flatMap((place) =>
    Array.from({ length: 4 }, () =>
      asks(away.at + chance.whole(0, 10_000), away.replica, place, place.tenant === tenant && old ? { old } : {}),
    ),
  );
  return [...everywhere(scene, at - 1_500, 1_200), ...everywhere(scene, at - 1_500, 1_200), act, away, ...during];
};

/** Who was served is served on while Vault is away, or isn't: as it is set. */
const bridged: Move = (scene) => {
  const { chance, begin } = scene;
  const at = begin + chance.whole(2_000, 4_000);
  const long = chance.maybe(0.3);
  const away = outage(scene, at, long ? STALE + chance.whole(15_000, 20_000) : chance.whole(9_000, 15_000));
  const until = long ? STALE + 15_000 : 9_000;
  const during = Array.from({ length: 6 }, () => everywhere(scene, at + (long ? STALE : 0), until - (long ? STALE : 0))).flat();
  // Nobody is told.
  const gone: Happening = { at: at + chance.whole(-500, 3_000), what: 'destroy', tenant: tenantOf(scene), told: false };
  const old = replicasOf(scene).flatMap((replica) =>
    asks(at + chance.whole(5_000, until), replica, { tenant: gone.tenant, api: 0 }, { old: true }),
  );
  return [
    ...everywhere(scene, begin, 1_000),
    ...everywhere(scene, begin + 1_000, 1_000),
    away,
    ...during,
    ...(chance.maybe(0.3) ? [gone, ...old] : []),
  ];
};

/** A token is taken back at a broker that can't reach Vault: it obeys, and tells the others when it can. */
const owed: Move = (scene) => {
  const { chance, begin } = scene;
  const at = begin + chance.whole(2_000, 4_000);
  const place = placeOf(scene);
  const away = outage(scene, at, chance.whole(4_000, 8_000));
  const after = (from: number, to: number): Happening[] =>
    replicasOf(scene).map((replica) => asks(away.at + chance.whole(from, to), replica, place));
  return [
    ...everywhere(scene, at - 1_500, 1_200),
    away,
    { at: at + chance.whole(500, 3_000), what: 'withdraw', replica: away.replica, ...place },
    ...after(3_000, 8_000),
    ...after(3_000, 8_000),
    ...after(away.for + 13_500, away.for + 18_000),
  ];
};

/** One of what is announced can't be read, and all else can. */
const deafToOne: Move = (scene) => {
  const { chance } = scene;
  const at = momentOf(scene);
  const lasts = STALE + chance.whole(6_000, 12_000);
  const during = Array.from({ length: 12 }, () => asks(at + chance.whole(STALE, lasts), replicaOf(scene), placeOf(scene)));
  return [fault(at, 'vault-denies-one', lasts, 0, chance.between(0.01, 1)), ...during];
};

/** Terraform disables a tenant, and enables it again. */
const shut: Move = (scene) => {
  const { chance } = scene;
  const at = momentOf(scene);
  const tenant = tenantOf(scene);
  return [
    ...everywhere(scene, at - 1_500, 1_200),
    { at, what: 'shut', tenant },
    ...everywhere(scene, at, 4_000),
    ...everywhere(scene, at + 2_000, 4_000),
    { at: at + chance.whole(4_500, 9_000), what: 'open', tenant },
  ];
};

/** A credential comes to an end that it has had from the beginning, in an outage perhaps. */
const lent: Move = (scene) => {
  const { chance, begin } = scene;
  const at = begin + chance.whole(500, 2_000);
  const place = placeOf(scene);
  const seconds = chance.whole(4, 10);
  const end = at + seconds * 1_000;
  const asking = (from: number, to: number, old?: true): Happening[] =>
    replicasOf(scene).flatMap((replica) =>
      Array.from({ length: 4 }, () => asks(chance.whole(from, to), replica, place, old === undefined ? {} : { old })),
    );
  return [
    { at, what: 'lend', tenant: place.tenant, seconds },
    ...asking(at + 500, end - 500),
    ...(chance.maybe(0.5) ? [outage(scene, end - chance.whole(500, 3_000), chance.whole(6_000, 12_000))] : []),
    ...asking(end + 500, end + 8_000, true),
  ];
};

/** What was thought of later. */
const WIDER: readonly Move[] = [renewed, known, known, bridged, bridged, owed, deafToOne, shut, lent];

/** For a seed that plays these, too. */
export function widerOf(scene: Scene): readonly Happening[] {
  const { chance } = scene;
  const moves = Array.from({ length: chance.whole(1, 2) }, () => chance.oneOf(WIDER));
  return moves.flatMap((move) => move(scene)).map((one) => ({ ...one, at: Math.max(scene.begin, one.at) }));
}

/** A process stands still while somebody ends something, and is asked in the moment in which it goes on. */
export function stillOf(scene: Scene): readonly Happening[] {
  const { chance, settings } = scene;
  const at = momentOf(scene);
  const lasts = chance.oneOf([chance.whole(1_000, 3_000), chance.whole(2_500, 20_000), chance.whole(2_500, 20_000), STALE + 15_000]);
  const still = fault(at, chance.oneOf(['stands-still', 'stands-still', 'sleeps'] as const), lasts, replicaOf(scene), 1);
  const over = at + lasts;
  const tenant = tenantOf(scene);
  // Too late for it to have heard, and early enough for it to have to know.
  const ended = chance.whole(at, Math.max(at, over - 2_000));
  const act: Happening = chance.maybe(0.5)
    ? { at: ended, what: 'destroy', tenant, told: true }
    : { at: ended, what: chance.oneOf(ENDS), tenant };
  const asking = (from: number, to: number): Happening[] =>
    placesOf(scene).map((place) =>
      asks(chance.whole(from, to), still.replica, place, place.tenant === tenant && chance.maybe(0.7) ? { old: true } : {}),
    );
  return [
    ...everywhere(scene, at - 1_500, 600),
    // Whoever has a token is asked once more, so that it is remembered.
    ...everywhere(scene, at - 800, 600),
    still,
    act,
    ...asking(at, over),
    ...asking(at, over),
    // What it had asked before is answered now, by what was so before.
    ...asking(over, over + 2 * settings.latency),
    ...asking(over, over + 1_000),
    ...asking(over, over + 3_000),
  ].map((one) => ({ ...one, at: Math.max(scene.begin, one.at) }));
}

/** All that breaks nothing. */
const CALM: readonly Move[] = [together, together, race, destroyed];
const BROKEN: readonly Move[] = [together, lostLease, lostLease, destroyed, overtaken, overtaken, clockBack, storm, slowly];
/** They need a minute more of virtual time. */
const LONG: readonly Move[] = [deaf, tidied];

/**
 * What several do at once within a small window, which chance alone would hardly ever bring about.
 * @param broken whether it may break something
 */
export function movesOf(scene: Scene, broken: boolean): readonly Happening[] {
  const { chance } = scene;
  if (chance.maybe(0.3)) return [];
  if (broken && chance.maybe(0.06)) return chance.oneOf(LONG)(scene);
  const moves = Array.from({ length: chance.maybe(0.3) ? 2 : 1 }, () => chance.oneOf(broken ? BROKEN : CALM));
  return moves.flatMap((move) => move(scene)).map((one) => ({ ...one, at: Math.max(scene.begin, one.at) }));
}

function momentOf({ chance, begin, end }: Scene): number {
  return chance.whole(begin + 1_000, end);
}

function tenantOf({ chance, settings }: Scene): number {
  return chance.whole(0, settings.tenants - 1);
}

function replicaOf({ chance, settings }: Scene): number {
  return chance.whole(0, settings.replicas - 1);
}

function placeOf(scene: Scene): Place {
  return { tenant: tenantOf(scene), api: scene.chance.whole(0, scene.settings.apis - 1) };
}

function replicasOf({ settings }: Scene): readonly number[] {
  return Array.from({ length: settings.replicas }, (_, index) => index);
}

function placesOf({ settings }: Scene): readonly Place[] {
  return Array.from({ length: settings.tenants * settings.apis }, (_, index) => ({
    tenant: index % settings.tenants,
    api: Math.floor(index / settings.tenants),
  }));
}

/** Everything is asked for at every broker, within so many ms. */
function everywhere(scene: Scene, from: number, within: number): Happening[] {
  return replicasOf(scene).flatMap((replica) => placesOf(scene).map((place) => asks(from + scene.chance.whole(0, within), replica, place)));
}

function asks(
  at: number,
  replica: number,
  { tenant, api }: Place,
  { narrow = false, old }: { readonly narrow?: boolean; readonly old?: boolean } = {},
): Happening {
  return { at, what: 'ask', replica, tenant, api, narrow, times: 1, ...(old === true ? { old } : {}) };
}

function fault(at: number, what: Fault, lasts: number, replica: number, much: number): Fallen {
  return { at, what, for: lasts, replica, much };
}
