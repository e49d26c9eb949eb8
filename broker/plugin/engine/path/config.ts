import { BackendError } from '#broker/plugin/backend.ts';
import { issuerOf, withSecret } from '#broker/plugin/engine/config.ts';
import type { Config, Configuration } from '#broker/plugin/engine/config.ts';
import { choice, duration, text } from '#broker/plugin/engine/field.ts';
import type { Values } from '#broker/plugin/engine/field.ts';
import { operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { Invalid } from '#broker/plugin/engine/records.ts';

const fields = {
  issuer: text('Your Auth0 domain or issuer, e.g. acme.eu.auth0.com. https, but for a stand-in on this machine.', {
    max: 255,
  }),
  client_id: text('Client id of the one Auth0 M2M application that all tenants share.', {
    max: 255,
    pattern: [/^\S+$/, 'must have no white space'],
  }),
  client_secret: text(
    'Its secret. It is never shown again. Where it replaces another of the same application, that one is tried too for 30 s: Auth0 ' +
      'takes so long to know a new one everywhere.',
    {
      pattern: [/^\S+$/, 'must have no white space'],
    },
  ),
  management_client_id: text(
    'Client id of another application, which config/rotate asks by. It alone needs a client grant for the Management API, with the ' +
      'scope update:client_keys.',
    { max: 255, pattern: [/^\S+$/, 'must have no white space'] },
  ).optional(),
  management_client_secret: text('Its secret. It is never shown again.', { pattern: [/^\S+$/, 'must have no white space'] }).optional(),
  binding: choice(
    'How a token is bound to its tenant: by the Credentials-Exchange Action of terraform/modules/auth0 (any plan), or by the ' +
      'organization in its role (B2B plans). Default action.',
    ['action', 'organization'],
  ).optional(),
  tenant_claim: text('The namespaced claim that names the tenant; the Action must set the same. Default https://postern.dev/tenant.', {
    max: 255,
    pattern: [/^https?:\/\/\S+$/, 'must be a URI such as https://example.com/tenant'],
  }).optional(),
  timeout: duration('Deadline of one call to Auth0. Default 5 s.', { min: 1, max: 60 }).optional(),
  min_remaining: duration('A token is handed out only with so much life left, or half its life where that is less. Default 60 s.', {
    max: 86_400,
  }).optional(),
};

const DEFAULTS = { binding: 'action', tenant_claim: 'https://postern.dev/tenant', timeout: 5, min_remaining: 60 } as const;

export function configPath(configuration: Configuration, now: () => number): Path {
  return {
    pattern: 'config',
    synopsis: 'The Auth0 tenant, and the one application that all tenants share.',
    description:
      'Write issuer, client_id and client_secret once; a later write changes what it names and leaves the rest. The secret goes in ' +
      "and never comes out: read shows when it was written. To give it as a file keeps it out of the shell's history: " +
      'client_secret=@secret.txt (without a line break at its end). Deleting the configuration leaves roles, APIs and cached tokens ' +
      'as they are; no token is handed out until it is written again.',
    parameters: {},
    exists: async () => (await configuration.stored()) !== undefined,
    operations: {
      read: operation({
        summary: 'Everything but the secrets.',
        handle: async () => {
          const config = await configuration.read();
          return config && { data: shown(config, now()) };
        },
      }),
      write: operation({
        summary: 'Creates or changes it.',
        fields,
        handle: ({ values }) =>
          configuration.alone(async () => {
            const found = await configuration.stored();
            if (found instanceof Invalid) requireWhole(values, found);
            const before = found instanceof Invalid ? undefined : found;
            const config = written(values, before, now());
            await configuration.write(config);
            if (found instanceof Invalid)
              return { warnings: [`${found.message}: all of it is replaced, what this write doesn't name too`] };
            return before?.management !== undefined && config.management === undefined && values.management_client_id !== null
              ? {
                  warnings: [
                    'the management application was one of the other issuer, and is forgotten: write its successor before config/rotate',
                  ],
                }
              : undefined;
          }),
      }),
      delete: operation({
        summary: 'Forgets it, the secret too.',
        handle: () =>
          configuration.alone(async () => {
            await configuration.delete();
            return undefined;
          }),
      }),
    },
  };
}

/** What was written before is not known, so neither is what a part would be a part of. @throws {BackendError} 400 */
function requireWhole({ issuer, client_id: id, client_secret: secret }: Values<typeof fields>, { message }: Invalid): void {
  if ([issuer, id, secret].some((value) => typeof value !== 'string'))
    throw new BackendError(
      400,
      `${message}, so that no part of it can be changed: write it whole, with issuer, client_id and client_secret`,
    );
}

/** @throws {BackendError} 400 where something is missing, or a secret would go where it was not written for */
function written(values: Values<typeof fields>, before: Config | undefined, now: number): Config {
  const issuer = typeof values.issuer === 'string' ? issuerOf(values.issuer) : before?.issuer;
  if (typeof values.issuer === 'string' && issuer === undefined)
    throw new BackendError(400, 'issuer must be a domain, or an https address without a path (http only on this machine)');
  const clientId = values.client_id ?? before?.client_id;
  if (issuer === undefined || clientId === undefined) throw new BackendError(400, 'issuer and client_id are required');
  const clientSecret = values.client_secret ?? before?.client_secret;
  if (clientSecret === undefined) throw new BackendError(400, 'client_secret is required');
  if (before !== undefined && typeof values.client_secret !== 'string') {
    if (before.client_id !== clientId) throw new BackendError(400, 'another client_id needs its own client_secret');
    // Whoever may change the issuer alone would have the secret sent to a server of their own.
    if (before.issuer !== issuer) throw new BackendError(400, 'another issuer needs the client_secret to be written again');
  }
  const management = managementOf(values, before?.issuer === issuer ? before.management : undefined);
  if (management?.client_id === clientId)
    throw new BackendError(400, 'management_client_id must be another application than client_id, which tokens for tenants are issued to');
  const { management: _, ...kept } = before ?? { client_id: clientId, client_secret: clientSecret, secret_written_at: now };
  const base: Config = {
    ...kept,
    ...(management === undefined ? {} : { management }),
    issuer,
    binding: changed(values.binding, before?.binding, DEFAULTS.binding),
    tenant_claim: changed(values.tenant_claim, before?.tenant_claim, DEFAULTS.tenant_claim),
    timeout: changed(values.timeout, before?.timeout, DEFAULTS.timeout),
    min_remaining: changed(values.min_remaining, before?.min_remaining, DEFAULTS.min_remaining),
  };
  return before?.issuer === issuer
    ? withSecret(base, clientId, clientSecret, now)
    : withoutPrevious({ ...base, client_id: clientId, client_secret: clientSecret, secret_written_at: now });
}

/** @throws {BackendError} 400 for half of it, or another id without its secret */
function managementOf(
  { management_client_id: id, management_client_secret: secret }: Values<typeof fields>,
  before: Config['management'],
): Config['management'] {
  if (id === null) return undefined;
  const clientId = id ?? before?.client_id;
  if (clientId === undefined) {
    if (typeof secret === 'string') throw new BackendError(400, 'management_client_secret needs its management_client_id');
    return undefined;
  }
  if (typeof secret === 'string') return { client_id: clientId, client_secret: secret };
  if (before === undefined || before.client_id !== clientId || secret === null)
    throw new BackendError(400, 'management_client_id needs its management_client_secret');
  return before;
}

/** A secret of another Auth0 tenant is not to be tried at this one. */
function withoutPrevious(config: Config): Config {
  const { previous_client_secret: _, previous_until: __, ...rest } = config;
  return rest;
}

function changed<Value>(given: Value | null | undefined, before: Value | undefined, otherwise: Value): Value {
  return given === null ? otherwise : (given ?? before ?? otherwise);
}

function shown(config: Config, now: number): Readonly<Record<string, unknown>> {
  const {
    issuer,
    client_id,
    management,
    binding,
    tenant_claim,
    timeout,
    min_remaining,
    secret_written_at: writtenAt,
    rotated_at: rotatedAt,
    previous_until: until = 0,
  } = config;
  return {
    issuer,
    client_id,
    management_client_id: management?.client_id ?? null,
    binding,
    tenant_claim,
    timeout,
    min_remaining,
    client_secret_written_at: new Date(writtenAt).toISOString(),
    client_secret_rotated_at: rotatedAt === undefined ? null : new Date(rotatedAt).toISOString(),
    previous_client_secret_until: until > now ? new Date(until).toISOString() : null,
  };
}
