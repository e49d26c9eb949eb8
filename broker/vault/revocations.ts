import { z } from 'zod';
import { hasEnded, isRevokedToken } from '#broker/token/revocations.ts';
import type { RecentRevocations, RevocationLog, RevokedToken } from '#broker/token/revocations.ts';
import { VaultFault, lostRace } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

const REVOCATIONS_PATH = 'state/revocations';

/** Revocations that every replica reads each second, at most; the older half is then moved to the archive. */
const MAX_RECENT = 128;
/** Revoked tokens in one shard, at most: some 400 kB, less than a storage entry of Vault may have. */
const MAX_IN_SHARD = 4_000;
/** By the first digit of the SHA-256. */
const SHARDS = Array.from({ length: 16 }, (_, digit) => digit.toString(16));
const CAS_ATTEMPTS = 5;

/** `state/revocations` */
const recentDocument = z.object({
  serial: z.number().int().nonnegative(),
  recent: z.array(z.object({ sha256: z.string(), tenant: z.string(), exp: z.number(), at: z.number() }).refine(isRevokedToken)),
});
/** `state/revocations/<0…f>`: SHA-256 -> `<exp> <tenant>`. */
const shardDocument = z.object({ revoked: z.record(z.string(), z.string().regex(/^\d+ \S+$/)) });

/** The replicas' log of revoked tokens, read and written with the broker's own token. */
export class VaultRevocations implements RevocationLog {
  readonly #kv: Kv;
  readonly #session: VaultSession;
  readonly #earliest: () => number;

  /** @param earliest so late it is for sure, by which the archive forgets; ms since 1970 */
  constructor(kv: Kv, session: VaultSession, earliest: () => number = Date.now) {
    this.#kv = kv;
    this.#session = session;
    this.#earliest = earliest;
  }

  async readRecent(): Promise<RecentRevocations> {
    const { data, version } = await this.#read(REVOCATIONS_PATH);
    if (data === undefined) return { serial: 0, recent: [], version };
    const parsed = recentDocument.safeParse(data);
    if (!parsed.success) throw invalid(REVOCATIONS_PATH);
    return { ...parsed.data, version };
  }

  async readArchive(): Promise<RevokedToken[]> {
    return (await Promise.all(SHARDS.map((shard) => this.#readShard(shard)))).flatMap(({ tokens }) => tokens);
  }

  async append(token: RevokedToken, after: RecentRevocations): Promise<RecentRevocations | undefined> {
    let kept = after.recent;
    if (kept.length >= MAX_RECENT) {
      const old = kept.slice(0, MAX_RECENT / 2);
      // Before they leave the list: interrupted in between, they stand in both.
      await this.#archive(old.filter(({ exp }) => !hasEnded(exp, this.#earliest())));
      kept = kept.slice(old.length);
    }
    const now = { serial: after.serial + 1, recent: [...kept, token] };
    const version = await this.#write(REVOCATIONS_PATH, now, after.version);
    return version === undefined ? undefined : { ...now, version };
  }

  async #archive(tokens: readonly RevokedToken[]): Promise<void> {
    const shards = Map.groupBy(tokens, ({ sha256 }) => sha256[0]!);
    await Promise.all([...shards].map(([shard, those]) => this.#addTo(shard, those)));
  }

  async #addTo(shard: string, tokens: readonly RevokedToken[]): Promise<void> {
    for (let attempt = 1; attempt <= CAS_ATTEMPTS; attempt++) {
      const found = await this.#readShard(shard);
      const revoked: Record<string, string> = {};
      for (const { sha256, exp, tenant } of [...found.tokens, ...tokens])
        if (!hasEnded(exp, this.#earliest())) revoked[sha256] = `${exp} ${tenant}`;
      // None is thrown out to make room: it would be good again.
      if (Object.keys(revoked).length > MAX_IN_SHARD) {
        throw unavailable(
          `${REVOCATIONS_PATH}/${shard} is full: ${MAX_IN_SHARD} revoked tokens in it have not ended yet. ` +
            'Disable the tenants that revoke so many, or shorten the lifetimes of their APIs',
          60,
        );
      }
      if ((await this.#write(`${REVOCATIONS_PATH}/${shard}`, { revoked }, found.version)) !== undefined) return;
    }
    throw unavailable(`too many replicas write ${REVOCATIONS_PATH}/${shard} at once`);
  }

  async #readShard(shard: string): Promise<{ tokens: RevokedToken[]; version: number }> {
    const path = `${REVOCATIONS_PATH}/${shard}`;
    const { data, version } = await this.#read(path);
    if (data === undefined) return { tokens: [], version };
    const parsed = shardDocument.safeParse(data);
    if (!parsed.success) throw invalid(path);
    const tokens = Object.entries(parsed.data.revoked).map(([sha256, text]) => {
      const [exp, tenant = ''] = text.split(' ');
      return { sha256, tenant, exp: Number(exp), at: 0 };
    });
    if (!tokens.every(isRevokedToken)) throw invalid(path);
    return { tokens, version };
  }

  async #read(path: string) {
    try {
      // No second attempt: the next look is a second away.
      return await this.#session.use((token) => this.#kv.read(path, { token, attempts: 1 }));
    } catch (error) {
      throw explained(error);
    }
  }

  /** @returns undefined when somebody else was faster */
  async #write(path: string, data: Record<string, unknown>, version: number): Promise<number | undefined> {
    try {
      return await this.#session.use((token) => this.#kv.write(path, data, version, { token }));
    } catch (error) {
      if (lostRace(error)) return undefined;
      throw explained(error);
    }
  }
}

function invalid(path: string): Error {
  return unavailable(`${path} in Vault is not valid, so it is not known which tokens are revoked: restore an older version of it`, 5);
}

function explained(error: unknown): unknown {
  if (error instanceof VaultFault && error.reason === 'denied')
    return unavailable(`${error.message}: does the broker's policy know ${REVOCATIONS_PATH}? Run terraform apply`, 5);
  return asUnavailable(error);
}
