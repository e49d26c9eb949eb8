import { documentFault } from '#broker/document-fault.ts';
import { tokenDocument } from '#broker/token/document.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import { integer, json, text } from '#broker/plugin/engine/field.ts';
import { name, operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { DIGEST } from '#broker/plugin/engine/token-records.ts';
import type { Place, TokenRecords } from '#broker/plugin/engine/token-records.ts';
import { listed } from './api.ts';

const fields = {
  cas: integer('The version that must be there now; 0: there must be none.', { required: true }),
  grant: text('Digest of the grant that the token was issued for.', {
    required: true,
    pattern: [DIGEST, 'must be a SHA-256 in base64url'],
  }),
  access_token: text('The token.', { max: 16_384 }),
  token_type: text('Bearer.', { among: ['Bearer'] }),
  scope: json('Its scopes, separated by spaces; may be empty.'),
  issued_at: integer('Seconds since 1970.'),
  expires_at: integer('Seconds since 1970. It is removed a minute later.'),
  lease: json('Which replica is asking the source: {"holder", "until" (ms since 1970), "paused"}.'),
};

const tenant = name('The tenant.');
const api = name('The API.');
const digest = {
  pattern: DIGEST,
  rule: 'must be a SHA-256 in base64url (43 characters)',
  description: 'Digest of a grant with fewer scopes than the tenant has.',
};

/** The cache that brokers share (POSTERN_TOKEN_STORE=plugin). It is theirs alone: creds/<tenant> has its own. */
export function tokenPaths(records: TokenRecords): readonly Path[] {
  const placeOf = (names: Readonly<Record<string, string>>): Place => ({
    tenant: names['tenant'] ?? '',
    api: names['api'] ?? '',
    digest: names['digest'],
  });
  const operations = {
    read: operation({
      summary: 'The document and its version.',
      handle: async ({ names }) => {
        const found = await records.read(placeOf(names));
        if (found === undefined) return undefined;
        const { asked: _, ...data } = found;
        return { data };
      },
    }),
    write: operation({
      summary: 'Writes the whole document where version is still cas. Else 409, and nothing changes.',
      fields,
      handle: async ({ names, values }) => {
        const { cas, ...given } = values;
        const parsed = tokenDocument
          .strict()
          .safeParse(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null)));
        if (!parsed.success) throw new BackendError(400, documentFault(parsed.error, 10));
        if (typeof cas !== 'number') throw new BackendError(400, 'cas is required');
        const version = await records.write(placeOf(names), parsed.data, cas);
        if (version === undefined) throw new BackendError(409, 'check-and-set: another version is there now');
        return { data: { version } };
      },
    }),
    delete: operation({
      summary: 'Removes it, whatever its version.',
      handle: async ({ names }) => {
        await records.delete(placeOf(names));
        return undefined;
      },
    }),
  };
  const description =
    "A cache that several brokers share: the broker writes with its own Vault token, and reads a tenant's with that tenant's. Each write names the version it has seen (cas); where another is there now, the answer is 409 and nothing changes. Versions only grow, and never come back after a deletion. The lease is how one broker tells the others that it is asking the source. What has ended is removed by itself.";
  const exists = async (names: Readonly<Record<string, string>>): Promise<boolean> => (await records.read(placeOf(names))) !== undefined;
  return [
    {
      pattern: 'tokens',
      synopsis: 'Tenants with tokens that brokers share.',
      description: 'Lists their names.',
      parameters: {},
      operations: { list: operation({ summary: 'Lists their names.', handle: async () => listed(await records.tenants()) }) },
    },
    {
      pattern: 'tokens/:tenant',
      synopsis: 'APIs that a tenant has shared tokens of.',
      description: 'Lists their names.',
      parameters: { tenant },
      operations: {
        list: operation({ summary: 'Lists their names.', handle: async ({ names }) => listed(await records.apis(names['tenant'] ?? '')) }),
        delete: operation({
          summary: 'Removes all of them, when the tenant goes.',
          handle: async ({ names }) => {
            const places = await records.places(names['tenant'] ?? '');
            await Promise.all(places.map((place) => records.delete(place)));
            return undefined;
          },
        }),
      },
    },
    {
      pattern: 'tokens/:tenant/:api',
      synopsis: "The shared token for all of a tenant's scopes at an API.",
      description,
      parameters: { tenant, api },
      exists,
      operations,
    },
    {
      pattern: 'tokens/:tenant/:api/:digest',
      synopsis: 'The same for fewer scopes.',
      description,
      parameters: { tenant, api, digest },
      exists,
      operations,
    },
  ];
}
