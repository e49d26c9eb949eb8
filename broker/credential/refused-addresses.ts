import { BoundedMap } from '#broker/bounded-map.ts';
import { canonicalAddress } from '#broker/ip-address.ts';

/** A right credential that Vault refused for where it came from. */
export interface RefusedAddress {
  /** Vault has judged the secret and found it right, so this is a client_id and nothing else. */
  readonly clientId: string;
  /** Whom the broker takes for the client. */
  readonly address: string;
  /** What Vault was told; undefined: nothing, so that it judges the broker's own address. */
  readonly forwarded: string | undefined;
  /** What Vault says that it saw; undefined: it let the client log in, and says nothing of why the token is good for nothing. */
  readonly seen: string | undefined;
}

/** Clients that are told of; whoever comes after so many others is told of again. */
const CLIENTS = 10_000;
/** Addresses that sent an X-Forwarded-For which isn't believed. */
const PROXIES = 1_000;

/**
 * Tells operators, once a client, why a right credential is refused: its CIDRs, and most often not because of the client. Outside, this is
 * the 401 of any wrong credential.
 */
export class RefusedAddresses {
  readonly #tell: (refused: RefusedAddress, cause: string) => void;
  readonly #told = new BoundedMap<string, true>(CLIENTS);
  readonly #proxies = new BoundedMap<string, true>(PROXIES);

  constructor(tell: (refused: RefusedAddress, cause: string) => void) {
    this.#tell = tell;
  }

  /** @param address sent an X-Forwarded-For, and no such proxy is trusted */
  unbelieved(address: string): void {
    this.#proxies.set(address, true);
  }

  refused(refused: RefusedAddress): void {
    const key = `${refused.clientId}\0${this.#why(refused)}`;
    if (this.#told.has(key)) return;
    this.#told.set(key, true);
    this.#tell(refused, CAUSE[this.#why(refused)]);
  }

  #why({ address, forwarded, seen }: RefusedAddress): keyof typeof CAUSE {
    if (forwarded === undefined) return 'silent';
    if (seen === undefined) return 'token';
    if (canonicalAddress(seen) !== canonicalAddress(forwarded)) return 'deaf';
    return this.#proxies.has(address) ? 'proxy' : 'outside';
  }
}

const CAUSE = {
  silent:
    "Vault judged the broker's own address by the CIDRs of this credential: set POSTERN_FORWARD_CLIENT_ADDRESS=true, and on Vault's " +
    "listener x_forwarded_for_authorized_addrs to the brokers' addresses",
  deaf:
    "Vault judged another address than the client's, which was forwarded: x_forwarded_for_authorized_addrs of Vault's listener leaves " +
    'out this broker, or what stands between them',
  token:
    "the CIDRs that its tenant's Vault tokens are bound to (vault_cidrs) leave out the client's address, which was forwarded; or " +
    "x_forwarded_for_authorized_addrs of Vault's listener leaves out this broker, so that Vault judged another",
  proxy:
    'who was taken for the client sends X-Forwarded-For and is not in POSTERN_TRUSTED_PROXIES: if it is a proxy of yours, name it there',
  outside:
    'the client is outside the CIDRs of its credential; or stands behind a proxy or balancer that sends no X-Forwarded-For, or in a ' +
    'network that POSTERN_TRUSTED_PROXIES takes for proxies',
} as const;
