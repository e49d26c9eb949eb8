import type { Config } from '#broker/config.ts';
import { Assertions } from '#broker/credential/assertions.ts';
import type { Endings } from '#broker/credential/endings.ts';
import { Generations } from '#broker/credential/generations.ts';
import { Usage } from '#broker/credential/usage.ts';
import { RefusedAddresses } from '#broker/credential/refused-addresses.ts';
import { SubjectTokens } from '#broker/credential/subject-tokens.ts';
import { Trusts } from '#broker/credential/trusts.ts';
import { Throttle } from '#broker/credential/throttle.ts';
import { Turnstile } from '#broker/credential/turnstile.ts';
import { Unseen } from '#broker/credential/unseen.ts';
import { VerifiedCredentials } from '#broker/credential/verified-credentials.ts';
import { Verifiers } from '#broker/credential/verifiers.ts';
import { tokenEndpointOf } from '#broker/http/metadata.ts';
import { FetchedKeys } from '#broker/issuer/issuer-keys.ts';
import type { Logger } from '#broker/log.ts';
import { AppRoleLogin } from '#broker/vault/approle-login.ts';
import { VaultAssertionLogin } from '#broker/vault/assertion-login.ts';
import { VaultClientKeys } from '#broker/vault/client-keys.ts';
import { KeyEnds } from '#broker/vault/key-ends.ts';
import { VaultUsage } from '#broker/vault/usage.ts';
import type { Used } from '#broker/vault/usage.ts';
import { Kv } from '#broker/vault/kv.ts';
import { VaultReplay } from '#broker/vault/replay.ts';
import { VaultTrustLogin } from '#broker/vault/trust-login.ts';
import { VaultTrusts } from '#broker/vault/trusts.ts';
import { VaultSubjects } from '#broker/vault/subject-lookup.ts';
import { knownDepartures, knownEndings } from './endings.ts';
import type { Shedding } from './shedding.ts';
import type { ConnectedVault } from './vault.ts';

/** Tokens of trusts that Vault verifies at once. It waits for their issuers' keys meanwhile, with a socket of 64. */
const TRUSTING = 16;

export interface Verification {
  readonly verified: VerifiedCredentials;
  readonly verifier: Verifiers;
  readonly assertions: Assertions;
  readonly trusts: Trusts;
  readonly endings: Endings;
  readonly departures: Endings;
  readonly generations: Generations;
  readonly usage: Readonly<Record<'keys' | 'tenants', Usage>>;
  readonly replay: VaultReplay;
  readonly refusedAddresses: RefusedAddresses;
}

/** Right credentials from wrong addresses, in the log. */
function toldAddresses(log: Logger): RefusedAddresses {
  return new RefusedAddresses(({ clientId, address, seen }, cause) =>
    log.warn({ client_id: clientId, address, seen_by_vault: seen }, `a right credential is refused: ${cause}`),
  );
}

/** WHO: every way in which a client proves itself. @param hears whether announcements are being read */
export function verification(
  config: Config,
  log: Logger,
  vault: ConnectedVault,
  hears: () => boolean,
  shedding?: Pick<Shedding, 'turnstile'>,
): Verification {
  const { client, session, documents, troubles, clock } = vault;
  const behind = (): number => client.clock.behind;
  // Of what clients and their issuers stamp, the later clock counts.
  const latest = (): number => client.clock.latest;
  const usageFailed = (err: unknown): void =>
    troubles.fails('the last uses of API keys and tenants could not be written; they are written later', err);
  const usageOf = (of: Used): Usage =>
    new Usage({
      store: new VaultUsage({ of, kv: documents, session, onError: usageFailed }),
      intervalMs: config.POSTERN_USAGE_INTERVAL * 1000,
      onError: usageFailed,
    });
  const usage = { keys: usageOf('key'), tenants: usageOf('tenant') };
  const forwardAddress = config.POSTERN_FORWARD_CLIENT_ADDRESS;
  const refusedAddresses = toldAddresses(log);
  const generations = new Generations();
  const announced = knownEndings(log, vault, generations, (tenant) => verified.forget(tenant));
  const departures = knownDepartures(log, vault, generations, (gone) => verified.forgetThose(gone));
  const ends = { rotations: new KeyEnds(documents, (refused) => refusedAddresses.refused(refused)), announced, departed: departures };
  const waiting = { ...shedding?.turnstile, now: clock.monotonic };
  const unseen = new Unseen(waiting);
  const allowances = {
    perClient: config.POSTERN_THROTTLE_CLIENT,
    perAddress: config.POSTERN_THROTTLE_ADDRESS,
    unseen,
    now: clock.monotonic,
  };
  const throttle = new Throttle(allowances);
  const turnstile = new Turnstile(waiting);
  const verified = new VerifiedCredentials({
    ...clock,
    onVerified: ({ keyId }) => {
      if (keyId !== undefined) usage.keys.record(keyId);
    },
    login: new AppRoleLogin({
      now: clock.now,
      behind,
      client,
      mount: config.POSTERN_APPROLE_MOUNT,
      forwardAddress,
      ends,
      onRefusedAddress: (refused) => refusedAddresses.refused(refused),
    }),
    rememberMs: config.POSTERN_VERIFY_TTL * 1000,
    max: config.POSTERN_CACHE_CREDENTIALS,
    byAddress: forwardAddress,
    bridging: {
      graceMs: config.POSTERN_OUTAGE_GRACE * 1000,
      away: () => client.isSilent('logins'),
      mayTry: () => client.mayTry('logins'),
      hears,
      behind,
    },
    throttle,
    turnstile,
  });
  const replay = new VaultReplay({
    client,
    kv: new Kv(client, config.POSTERN_REPLAY_MOUNT),
    session,
    now: () => client.clock.theirs,
    onError: (err) => troubles.fails('used assertions could not be tidied up', err),
  });
  const assertions = new Assertions({
    keys: new VaultClientKeys(documents, session),
    login: new VaultAssertionLogin({ client, mount: config.POSTERN_ASSERTION_MOUNT, forwardAddress, announced }),
    used: replay,
    throttle,
    turnstile,
    now: latest,
    monotonic: clock.monotonic,
    audiences: [config.POSTERN_ISSUER, tokenEndpointOf(config.POSTERN_ISSUER)],
    max: config.POSTERN_CACHE_CREDENTIALS,
  });
  const trusts = new Trusts({
    trusts: new VaultTrusts(documents, session),
    keys: new FetchedKeys({ privateHosts: config.POSTERN_TRUST_PRIVATE_HOSTS }),
    login: new VaultTrustLogin({ client, mount: config.POSTERN_TRUST_MOUNT, forwardAddress, announced }),
    used: replay,
    now: latest,
    monotonic: clock.monotonic,
    throttle: new Throttle(allowances),
    // Fewer than there are sockets: an issuer that is slow to Vault keeps neither logins waiting nor what is announced.
    turnstile: new Turnstile({ ...waiting, atOnce: TRUSTING }),
  });
  const verifier = new Verifiers({
    onVerified: ({ tenant }) => usage.tenants.record(tenant),
    secrets: verified,
    assertions,
    trusts,
    subjects: new SubjectTokens(
      new VaultSubjects({ client, approle: config.POSTERN_APPROLE_MOUNT, namespace: config.VAULT_NAMESPACE, forwardAddress, ends, behind }),
      new Throttle(allowances),
      turnstile,
    ),
  });
  return { verified, verifier, assertions, trusts, endings: announced, departures, generations, usage, replay, refusedAddresses };
}
