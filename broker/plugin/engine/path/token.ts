import { tokenDocument } from '#broker/token/document.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import { choice, integer, json, text } from '#broker/plugin/engine/field.ts';
import { name, operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { DIGEST } from '#broker/plugin/engine/token-records.ts';
import type { Place, TokenRecords } from '#broker/plugin/engine/token-records.ts';
import { listed } from './api.ts';

const fields = {
  cas: integer('The version that must be there now; 0: there must be none.'),
  grant: text('Digest of the grant that the token was issued for.', { pattern: [DIGEST, 'must be a SHA-256 in base64url'] }),
  access_token: text('The token.', { max: 16_384 }).optional(),
  token_type: choice('Bearer.', ['Bearer']).optional(),
  scope: text('Its scopes, separated by spaces; may be empty.', { min: 0, max: 16_384 }).optional(),
  issued_at: integer('Seconds since 1970.').optional(),
  expires_at: integer('Seconds since 1970. It is removed a minute later.').optional(),
  lease: json(
    'Which replica is asking the source: {"holder", "until" (ms since 1970), "paused"}.',
    tokenDocument.shape.lease.unwrap().strict(),
  ).optional(),
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
        const { cas, grant } = values;
        if (typeof cas !== 'number' || typeof grant !== 'string') throw new BackendError(400, 'cas and grant are required');
        const { access_token, token_type, scope, issued_at, expires_at, lease } = values;
        const document = { grant, ...present({ access_token, token_type, scope, issued_at, expires_at, lease }) };
        const version = await records.write(placeOf(names), document, cas);
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
    "A cache that several brokers share: the broker writes with its own Vault token, and reads a tenant's with that tenant's. Each " +
    'write names the version it has seen (cas); where another is there now, the answer is 409 and nothing changes. Versions only ' +
    'grow, and never come back after a deletion. The lease is how one broker tells the others that it is asking the source. What ' +
    'has ended is removed by itself.';
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

type Present<Given> = { [Name in keyof Given]?: NonNullable<Given[Name]> };

/** Without what was left out, or was null. */
function present<Given extends object>(given: Given): Present<Given> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null)) as Present<Given>;
}
