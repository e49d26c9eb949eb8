import { PosternError } from '#broker/error.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import { withSecret } from '#broker/plugin/engine/config.ts';
import type { Config, Configuration } from '#broker/plugin/engine/config.ts';
import { flag, text } from '#broker/plugin/engine/field.ts';
import { operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { Invalid } from '#broker/plugin/engine/records.ts';

/** The shared application, whose secret is to be rotated, and the one that may. */
export interface Rotation {
  readonly issuer: string;
  readonly clientId: string;
  readonly management: { readonly clientId: string; readonly clientSecret: string };
  /** Where the Management API is: a custom domain has none. Default: the issuer's host. */
  readonly domain: string | undefined;
  readonly timeoutMs: number;
}

/**
 * @returns the new secret; the old one is about to end
 * @throws {PosternError} with what is missing in its detail; nothing has changed at Auth0 unless the message says that it may have
 */
export type RotateSecret = (rotation: Rotation) => Promise<string>;

const fields = {
  domain: text('The Auth0 domain of the Management API, e.g. acme.eu.auth0.com. Needed where issuer is a custom domain.', {
    max: 255,
    pattern: [/^[a-z0-9.-]+$/i, 'must be a bare domain'],
  }).optional(),
  exclusive: flag(
    'true says that nobody but this engine uses the application. Whoever else does, brokers too, is refused by Auth0 from then on.',
  ).optional(),
};

export function rotatePath(configuration: Configuration, rotate: RotateSecret, now: () => number): Path {
  let rotating: Promise<Config> | undefined;
  return {
    pattern: 'config/rotate',
    synopsis: "Rotates the shared application's secret at Auth0 and keeps the new one here.",
    description:
      'Auth0 makes a new secret (POST /api/v2/clients/{id}/rotate-secret), which only Vault then knows. It is asked for by an ' +
      'application of its own (management_client_id and management_client_secret in config), which needs a client grant for the ' +
      'Management API (audience https://<domain>/api/v2/) with the scope update:client_keys and nothing else; without it nothing ' +
      'changes and the answer names what is missing. The shared application needs no such grant and should have none: whoever can ' +
      'add an API to this engine could have its tokens. The old secret ends at once, and nobody can read the new one: brokers that share ' +
      'the application would be refused by Auth0, so it takes exclusive=true, which says that none does. Storage is tried before ' +
      'Auth0 is asked; should it fail between the two, the new secret is used from memory and written as soon as storage is back ' +
      '(config/rotate and info then say so). The old secret is tried too for 30 s.',
    parameters: {},
    operations: {
      write: operation({
        summary: 'Rotates it now.',
        fields,
        handle: async ({ values }) => {
          if (rotating !== undefined) throw new BackendError(409, 'a rotation is under way already');
          rotating = rotateOnce(configuration, rotate, { domain: values.domain ?? undefined, exclusive: values.exclusive === true }, now);
          try {
            const config = await rotating;
            return {
              data: {
                client_id: config.client_id,
                rotated_at: new Date(config.rotated_at ?? 0).toISOString(),
                stored: !configuration.unsaved,
              },
              ...(configuration.unsaved
                ? {
                    warnings: [
                      "Auth0 has rotated the secret, but Vault's storage did not take it: it is used from this process's memory " +
                        'and written as soon as storage is back. Do not restart Vault before info says config_unsaved=false',
                    ],
                  }
                : {}),
            };
          } finally {
            rotating = undefined;
          }
        },
      }),
    },
  };
}

async function rotateOnce(
  configuration: Configuration,
  rotate: RotateSecret,
  { domain, exclusive }: { domain: string | undefined; exclusive: boolean },
  now: () => number,
): Promise<Config> {
  await configuration.save();
  const { before, management } = await configuration.alone(async () => {
    const stored = await configuration.stored();
    if (stored instanceof Invalid) throw stored;
    if (stored === undefined)
      throw new BackendError(400, 'this engine is not configured: write issuer, client_id and client_secret to config');
    if (stored.management === undefined) throw withoutManagement(stored.issuer);
    if (!exclusive) throw perhapsShared(stored.client_id);
    // A node that may not write, or a storage that can't, shows itself while nothing is lost.
    await configuration.write(stored);
    return { before: stored, management: stored.management };
  });
  let secret: string;
  try {
    secret = await rotate({
      issuer: before.issuer,
      clientId: before.client_id,
      management: { clientId: management.client_id, clientSecret: management.client_secret },
      domain,
      timeoutMs: before.timeout * 1000,
    });
  } catch (error) {
    throw explained(error);
  }
  return configuration.alone(async () => {
    // Somebody may have written other settings meanwhile; they stay.
    const found = await configuration.stored().catch(() => before);
    const latest = found === undefined || found instanceof Invalid ? before : found;
    if (latest.client_id !== before.client_id || latest.issuer !== before.issuer) {
      throw new BackendError(
        409,
        `Auth0 has rotated the secret of ${before.client_id}, but config names another application by now, which stays: the new ` +
          'secret is in the Auth0 dashboard alone',
      );
    }
    const after: Config = { ...withSecret(latest, before.client_id, secret, now()), rotated_at: now() };
    try {
      await configuration.write(after);
    } catch {
      configuration.hold(after);
    }
    return after;
  });
}

function withoutManagement(issuer: string): BackendError {
  return new BackendError(
    400,
    `a rotation needs an application of its own at Auth0, with a client grant for ${issuer}api/v2/ (of the canonical domain) and ` +
      'the scope update:client_keys alone: write its management_client_id and management_client_secret to config',
  );
}

/** The engine can't see who else has the secret. */
function perhapsShared(clientId: string): BackendError {
  return new BackendError(
    400,
    `a rotation ends the present secret of ${clientId}, and only this engine has the new one: brokers that use the same application get no ` +
      'token any more. Where nobody else uses it, say exclusive=true. Else give this engine an application of its own (client_id and ' +
      'client_secret in config), or rotate at Auth0 and tell everybody: postern upstream set, and client_secret in config',
  );
}

/** The caller is the operator who can mend it: what is missing is said here, too. */
function explained(error: unknown): unknown {
  if (!(error instanceof PosternError)) return error;
  const said = `${error.message}${error.detail === undefined ? '' : `. ${error.detail}`}`;
  if (error.code === 'temporarily_unavailable') return new BackendError(503, said);
  return new BackendError(error.status === 429 ? 429 : 400, `the secret was not rotated, and nothing has changed: ${said}`);
}
