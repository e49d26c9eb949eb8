import { createHash } from 'node:crypto';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity, VaultToken } from '#broker/credential/identity.ts';
import type { EarlyReading, Lease, StoredToken, TokenStore } from '#broker/token/store.ts';
import { Token } from '#broker/token/token.ts';

interface Entry {
  version: number;
  digest: string;
  token: { accessToken: string; scope: string; issuedAt: number; expiresAt: number } | undefined;
  lease: Lease | undefined;
}

/**
 * A store with check-and-set as Vault's KV v2 has it, shared by simulated replicas. It refuses, as
 * Vault's policy does, a token read with another tenant's Vault token.
 */
export class MemoryStore implements TokenStore {
  readonly entries = new Map<string, Entry>();
  reads = 0;
  writes = 0;
  conflicts = 0;
  /** Runs before each operation; throws for an outage, waits for slowness. */
  before: (operation: 'read' | 'write', token: Token | undefined) => void | Promise<void> = () => {};

  async read(grant: AuthorizedGrant, as: VaultToken): Promise<StoredToken> {
    this.reads++;
    await this.before('read', undefined);
    if (as.reveal() !== `hvb.${grant.tenant}`) throw new Error(`${grant.tenant} is read with ${as.reveal()}`);
    return this.#stored(placeOf(grant), grant);
  }

  async readEarly(tenant: string, api: string, identity: Identity): EarlyReading {
    this.reads++;
    await this.before('read', undefined);
    if (identity.token.reveal() !== `hvb.${tenant}`) throw new Error(`${tenant} is read with another's token`);
    const found = this.entries.get(`${tenant}/${api}`);
    const copy = found && { ...found };
    return (grant) => stored(copy, grant);
  }

  async write(grant: AuthorizedGrant, token: Token | undefined, lease: Lease | undefined, version: number): Promise<number | undefined> {
    this.writes++;
    await this.before('write', token);
    const place = placeOf(grant);
    if ((this.entries.get(place)?.version ?? 0) !== version) {
      this.conflicts++;
      return undefined;
    }
    const kept = token && { accessToken: token.reveal(), scope: token.scope, issuedAt: token.issuedAt, expiresAt: token.expiresAt };
    this.entries.set(place, { version: version + 1, digest: grant.digest, token: kept, lease });
    return version + 1;
  }

  async discard(
    sha256: string,
    { api, digests }: { api: string; digests: readonly string[] },
    { tenant, token }: Identity,
  ): Promise<number> {
    await this.before('read', undefined);
    if (token.reveal() !== `hvb.${tenant}`) throw new Error(`${tenant} is read with another's token`);
    const whole = `${tenant}/${api}`;
    const places = [whole, ...digests.map((digest) => `${whole}/${digest}`)].filter((place) => {
      const accessToken = this.entries.get(place)?.token?.accessToken;
      return accessToken !== undefined && createHash('sha256').update(accessToken).digest('hex') === sha256;
    });
    for (const place of places) {
      await this.before('write', undefined);
      const entry = this.entries.get(place)!;
      this.entries.set(place, { ...entry, version: entry.version + 1, token: undefined });
    }
    return places.length;
  }

  #stored(place: string, grant: AuthorizedGrant): StoredToken {
    return stored(this.entries.get(place), grant);
  }
}

function placeOf(grant: AuthorizedGrant): string {
  return grant.whole ? `${grant.tenant}/${grant.api}` : `${grant.tenant}/${grant.api}/${grant.digest}`;
}

function stored(entry: Entry | undefined, grant: AuthorizedGrant): StoredToken {
  if (entry === undefined || entry.digest !== grant.digest) return { token: undefined, lease: undefined, version: entry?.version ?? 0 };
  const { token, lease, version } = entry;
  return { token: token && new Token(token.accessToken, token.scope, token.issuedAt, token.expiresAt, 0), lease, version };
}
