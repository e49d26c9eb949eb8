import type { BackendResponse } from '#broker/plugin/backend.ts';
import type { Credentials } from '#broker/plugin/engine/credentials.ts';
import { text } from '#broker/plugin/engine/field.ts';
import { name, operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';

const fields = {
  audience: text("The API, by its audience. Default: the role's default_api.").optional(),
  scope: text('Scopes, separated by spaces. Default: all that the role has at this API.', { max: 4096 }).optional(),
  organization: text("Must be the role's own, where it is given at all.", { max: 128 }).optional(),
};

const tenant = name('The tenant, as in roles/<tenant>.');

export interface CredsOptions {
  readonly credentials: Credentials;
  readonly now: () => number;
}

export function credsPaths({ credentials, now }: CredsOptions): readonly Path[] {
  const drop = async (names: Readonly<Record<string, string>>): Promise<BackendResponse> => {
    const dropped = await credentials.drop(names['tenant'] ?? '');
    return {
      data: { dropped },
      warnings: [
        "Tokens that were handed out already are JWTs: Auth0 can't take them back, and they are good until they expire. To end a " +
          "tenant's access, disable its role and wait for that, or rotate what the API trusts",
      ],
    };
  };
  return [
    {
      pattern: 'creds/:tenant',
      synopsis: "A tenant's access token.",
      description:
        'Answers with a token of Auth0 that is bound to this tenant: from memory, from storage, or, where there is none with ' +
        'enough life left, from Auth0. One token serves all readers; it is refreshed in the background before it ends. ttl is in ' +
        'how many seconds a reader should read again to have the next one before this one ends, and Vault Agent does so by itself: ' +
        "ttl beside rotation_period is how it knows a secret that rotates. There is no lease: Auth0's tokens can't be taken back, " +
        "so a lease would promise what revoking it could not do, and each read would write one into Vault's storage. delete drops " +
        'the cached tokens, so that the next reader gets a new one; those handed out live on.',
      parameters: { tenant },
      operations: {
        read: operation({
          summary: 'The token: access_token, token_type, expires_in, scope, expires_at, ttl, rotation_period.',
          fields,
          handle: async ({ names, values, request }) => {
            const { audience, scope, organization } = values;
            const { token, next } = await credentials.read(
              { tenant: names.tenant ?? '', entityId: request.entityId },
              { audience: audience ?? undefined, scope: scope ?? undefined, organization: organization ?? undefined },
            );
            return {
              data: {
                access_token: token.reveal(),
                token_type: 'Bearer',
                expires_in: token.remaining(now()),
                scope: token.scope,
                expires_at: new Date(token.expiresAt * 1000).toISOString(),
                ttl: next,
                rotation_period: Math.max(1, token.expiresAt - token.issuedAt),
              },
            };
          },
        }),
        delete: operation({ summary: 'Drops its cached tokens.', handle: ({ names }) => drop(names) }),
      },
    },
    {
      pattern: 'revoke/:tenant',
      synopsis: "Drops a tenant's cached tokens.",
      description:
        'The same as deleting creds/<tenant>, for a policy that lets somebody drop tokens and not read them. Tokens handed out ' +
        'live on until they expire.',
      parameters: { tenant },
      operations: { write: operation({ summary: 'Drops its cached tokens.', handle: ({ names }) => drop(names) }) },
    },
  ];
}
