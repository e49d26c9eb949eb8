import { SIGNING_SOURCE, signingKeyPath } from '#broker/mounts.ts';
import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from './access.ts';
import { readApis } from './apis.ts';

/** `GET transit/keys/:name` (Vault "Transit secrets engine", HTTP API). */
const answer = z.object({
  type: z.string(),
  latest_version: z.number(),
  min_decryption_version: z.number(),
  min_available_version: z.number().default(0),
  min_encryption_version: z.number().default(0),
  keys: z.record(z.string(), z.object({ creation_time: z.string() })),
});

export interface SigningKeyVersion {
  version: number;
  /** ISO 8601. */
  created_at: string;
  /** `newest` signs, as soon as every verifier has it; `published` verifies what it signed before. */
  state: 'newest' | 'published';
}

export interface SigningKey {
  /** The key in Vault's transit engine. */
  name: string;
  type: string;
  /** Oldest first; those that are retired aren't published any more, and not listed. */
  versions: SigningKeyVersion[];
  /** Versions that were retired: services refuse what they signed. */
  retired: number;
  /** Seconds that a token of an API signed by it may live. */
  longest_life: number;
}

/** @throws {PosternError} not_found, misconfigured */
export async function readSigningKey(access: VaultAccess): Promise<SigningKey> {
  const path = signingKeyPath(access.mounts);
  const [found, apis] = await Promise.all([
    access.call('read the signing key', ({ client, as }) => client.read(path, as)),
    readApis(access),
  ]);
  if (!found?.data)
    throw new PosternError('not_found', `There is no signing key ${path}`, {
      detail: 'Terraform makes it, where an API is signed by Vault (source transit): terraform apply.',
    });
  const parsed = answer.safeParse(found.data);
  if (!parsed.success) throw new PosternError('misconfigured', `${path} in Vault is not a signing key`);
  const { type, latest_version: newest, keys, min_decryption_version: oldest } = parsed.data;
  const versions = Object.entries(keys)
    .map(([version, { creation_time: created }]): SigningKeyVersion => ({
      version: Number(version),
      created_at: new Date(created).toISOString(),
      state: Number(version) === newest ? 'newest' : 'published',
    }))
    .sort((a, b) => a.version - b.version);
  const lives = [...apis.values()].flatMap((api) => (api?.source === SIGNING_SOURCE ? [api.lifetime] : []));
  return {
    name: path.slice(path.lastIndexOf('/') + 1),
    type,
    versions,
    retired: Math.max(0, oldest - 1),
    longest_life: Math.max(0, ...lives),
  };
}

/** Makes a new version; those that are there go on verifying. @throws {PosternError} */
export async function rotateSigningKey(access: VaultAccess): Promise<SigningKey> {
  const path = signingKeyPath(access.mounts);
  await readSigningKey(access);
  await access.call('rotate the signing key', ({ client, as }) => client.write(`${path}/rotate`, {}, as));
  return readSigningKey(access);
}

/** POSTERN_JWKS_MAX_AGE where nobody sets it, seconds. */
export const DEFAULT_JWKS_MAX_AGE = 300;
/** Clocks differ, and brokers read the key every 30 s; seconds. */
const MARGIN = 120;

/**
 * Takes versions before one out of the key set, so that services refuse whatever they signed.
 * @param before the oldest version that stays
 * @param options `now`: ms since 1970; `jwksMaxAge`: the brokers', seconds; `force`: though tokens that they signed may be alive
 * @throws {PosternError} invalid_request; conflict where tokens may be alive
 */
export async function retireSigningKeys(
  access: VaultAccess,
  before: number,
  options: { force: boolean; now: number; jwksMaxAge: number },
): Promise<SigningKey> {
  const path = signingKeyPath(access.mounts);
  const key = await readSigningKey(access);
  const newest = key.versions.at(-1)?.version ?? 0;
  if (!(Number.isInteger(before) && before >= 1 && before <= newest))
    throw new PosternError('invalid_request', `The oldest version that stays is 1 to ${newest}`, {
      detail: 'See postern signing-key list.',
    });
  if (before <= key.retired) throw new PosternError('conflict', `Versions before ${key.retired + 1} are retired already, for good`);
  const next = key.versions.find(({ version }) => version === before);
  // The version before it signed until this one had been published for long enough, and its last token lives on from there.
  const over = Date.parse(next?.created_at ?? '') + (2 * options.jwksMaxAge + MARGIN + key.longest_life) * 1000;
  if (!options.force && before > key.retired + 1 && !(options.now >= over))
    throw new PosternError('conflict', `Tokens signed by a version before ${before} may be alive until ${new Date(over).toISOString()}`, {
      detail: 'Nothing was changed. Repeat it then; or with --force where the key is known to others, and those tokens are to be refused.',
    });
  await access.call('retire versions of the signing key', ({ client, as }) =>
    client.write(`${path}/config`, { min_decryption_version: before }, as),
  );
  return readSigningKey(access);
}
