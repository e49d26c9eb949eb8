import { z } from 'zod';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import { MAX_TOKEN_TTL, NAME } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { SubjectToken } from '#broker/credential/subject-token.ts';
import { badSubject } from '#broker/credential/subject-tokens.ts';
import type { SubjectLookup } from '#broker/credential/subject-tokens.ts';
import type { CallOptions, VaultClient } from './client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { identityOf } from './token-identity.ts';
import type { CredentialEnds } from './token-identity.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

export interface VaultSubjectsOptions {
  client: VaultClient;
  /** Mount of the tenants' AppRole, e.g. `approle`. */
  approle: string;
  /** The broker's namespace; undefined for the root one. */
  namespace: string | undefined;
  /** Whether Vault is told the client's address, for tokens bound to addresses. */
  forwardAddress: boolean;
  ends: CredentialEnds;
  now?: (() => number) | undefined;
  /** ms by which our clock is behind Vault's. Default: 0. */
  behind?: (() => number) | undefined;
}

/** `auth/token/lookup-self` ("Token auth method", HTTP API). */
const lookup = z.object({
  entity_id: z.string(),
  path: z.string(),
  meta: z.record(z.string(), z.string()).nullish(),
  num_uses: z.number(),
  /** Seconds; 0 where it never ends. */
  ttl: z.number(),
  /** Seconds that it was made for. */
  creation_ttl: z.number().optional(),
  /** Seconds since 1970. */
  creation_time: z.number().optional(),
  type: z.string().optional(),
  /** Only outside the root namespace. */
  namespace_path: z.string().optional(),
});

/** `identity/entity/id/<id>` ("Identity secrets engine", HTTP API). */
const entity = z.object({
  metadata: z.record(z.string(), z.string()).nullish(),
  aliases: z.array(z.object({ name: z.string(), mount_path: z.string(), metadata: z.record(z.string(), z.string()).nullish() })).nullish(),
});

/** Written by Terraform, and by nobody else of Postern's: neither operators nor the broker may write under identity/. */
const TENANT = 'postern_tenant';
const CLIENT = 'postern_client_id';

/**
 * Vault says whose a token is, asked with that very token: the AppRole role that it logged in with, or the tenant that Terraform wrote
 * into its entity. What else the token may do counts for nothing, so a root or an operator's token belongs to no tenant.
 */
export class VaultSubjects implements SubjectLookup {
  readonly #options: VaultSubjectsOptions;

  constructor(options: VaultSubjectsOptions) {
    this.#options = options;
  }

  async lookUp(subject: SubjectToken, address: string): Promise<Identity> {
    const forwardedFor = this.#options.forwardAddress ? address : undefined;
    const call = { token: subject.reveal(), forwardedFor, strangers: true };
    const now = (this.#options.now ?? Date.now)();
    const self = await this.#self(call);
    if (self.entity_id === '' || (self.namespace_path ?? '').replace(/\/$/, '') !== (this.#options.namespace ?? '').replace(/^\/|\/$/g, ''))
      throw foreign();
    // The look-ups here would use it up, and a request that ends halfway would look like an outage.
    if (self.num_uses !== 0) throw badSubject('The subject_token is good for a limited number of uses, which an exchange would spend');
    const { tenant, clientId } = this.#tenantOf(self, await this.#entityOf(self.entity_id, call));
    // Its metadata is that of the secret_id, or of whatever else it logged in with. The halves of an API key log in at Vault too: what the
    // key is
    // narrowed to, and its end, hold for such a token as for the key.
    const metadata = self.path === `auth/${this.#options.approle}/login` ? (self.meta ?? {}) : {};
    const ttl = self.ttl === 0 ? Infinity : self.ttl;
    const lent = { createdAt: self.creation_time ?? 0 };
    // Only batch tokens can't be revoked one by one.
    if (self.type === 'batch' && (self.creation_ttl ?? ttl) > MAX_TOKEN_TTL) throw tooLong();
    return identityOf(
      { tenant, clientId, token: call.token, forwardedFor, metadata, ttl, askedAt: now, behind: this.#options.behind?.(), lent },
      this.#options.ends,
      {
        ended: () => badSubject('The credential that the subject_token comes from has ended'),
        tooLong,
      },
    );
  }

  async #self(call: CallOptions): Promise<z.infer<typeof lookup>> {
    const answer = await this.#ask('auth/token/lookup-self', call, () =>
      badSubject('The subject_token is expired, revoked or unknown to Vault'),
    );
    const parsed = lookup.safeParse(answer);
    if (!parsed.success) throw unavailable('Vault answered lookup-self in a form that is not known');
    return parsed.data;
  }

  async #entityOf(id: string, call: CallOptions): Promise<z.infer<typeof entity>> {
    // Denied: it lacks the policies that a tenant's token has.
    const answer = await this.#ask(`identity/entity/id/${id}`, call, foreign);
    if (answer === undefined) throw foreign();
    const parsed = entity.safeParse(answer);
    if (!parsed.success) throw unavailable('Vault answered an entity in a form that is not known');
    return parsed.data;
  }

  /** A 403 is Vault's judgement of this token, since it goes out as nobody else's; so is a 500 about how it is made. */
  async #ask(path: string, call: CallOptions, judged: () => unknown): Promise<unknown> {
    try {
      return (await this.#options.client.read(path, call))?.data ?? undefined;
    } catch (error) {
      throw error instanceof VaultFault && (error.reason === 'denied' || error.isOfBadToken) ? judged() : asUnavailable(error);
    }
  }

  #tenantOf(self: z.infer<typeof lookup>, { aliases, metadata }: z.infer<typeof entity>): { tenant: string; clientId: string } {
    const { approle } = this.#options;
    const alias = aliases?.find(({ mount_path: path }) => path === `auth/${approle}/`);
    const mapped = metadata?.[TENANT];
    const role = self.path === `auth/${approle}/login` ? self.meta?.['role_name'] : alias?.metadata?.['role_name'];
    // Two entities merged into one would be two tenants in one.
    if (mapped !== undefined && role !== undefined && mapped !== role)
      throw foreign('its entity is mapped to one tenant and has the AppRole alias of another');
    if (self.path === `auth/${approle}/login`) return checked(role, alias?.name);
    return checked(mapped, metadata?.[CLIENT]);
  }
}

function checked(tenant: string | undefined, clientId: string | undefined): { tenant: string; clientId: string } {
  if (tenant === undefined || !NAME.test(tenant)) throw foreign();
  if (clientId === undefined || !CLIENT_ID.test(clientId)) throw foreign(`its entity names no ${CLIENT}`);
  return { tenant, clientId };
}

function tooLong(): unknown {
  return badSubject(`The subject_token can't be revoked and was made for more than ${MAX_TOKEN_TTL} s: set a shorter token_ttl in Vault`);
}

function foreign(detail?: string): unknown {
  return badSubject('The subject_token maps to no tenant', detail);
}
