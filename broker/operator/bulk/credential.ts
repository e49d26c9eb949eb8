import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { issueAs, DEFAULT_ENVIRONMENT } from '#broker/operator/key/issue.ts';
import { issueSecretId, longestLife, readRoleId } from '#broker/operator/secret/issue.ts';
import { readSecretIds, requireRole } from '#broker/operator/secret/secret-id.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import type { Written } from '#broker/operator/tenant/create.ts';
import type { TenantSpecification } from '#broker/operator/tenant/specification.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import type { Operator } from '#broker/operator/whoami.ts';
import { CREDENTIAL_ID_METADATA, endingIdOf, newCredentialId, newKeyId } from '#broker/vault/key-metadata.ts';
import type { DurableFile } from './durable-file.ts';
import type { Journal } from './journal.ts';
import type { Row } from './row.ts';

export interface Issuing {
  readonly journal: Pick<Journal, 'done' | 'open' | 'intend' | 'finish'>;
  /** Holds the secrets, or the tokens that they are wrapped in. */
  readonly issued: DurableFile;
  /** Seconds for which a secret_id's wrapping token can be opened; false: it comes unwrapped. */
  readonly wrap: number | false;
  /** What stands beside a tenant's credential in that file. */
  readonly about?: ReadonlyMap<string, object>;
}

/** Issues what the rows ask for, each once. */
export class Issuer {
  readonly #access: VaultAccess;
  readonly #to: Issuing;
  readonly #written: ReadonlySet<string>;
  readonly #operator: Operator;
  readonly #limit: number | undefined;

  private constructor(access: VaultAccess, to: Issuing, operator: Operator, limit: number | undefined) {
    this.#access = access;
    this.#to = to;
    this.#operator = operator;
    this.#limit = limit;
    this.#written = new Set(to.issued.lines.map((one) => String((one as { id?: unknown } | null)?.id)));
  }

  static async make(access: VaultAccess, to: Issuing): Promise<Issuer> {
    const [operator, limit] = await Promise.all([whoIs(access), longestLife(access)]);
    return new Issuer(access, to, operator, limit);
  }

  /**
   * Notes the credential's id, issues it, writes it to its owner's file, notes that: whoever is killed in between ends, in the next run,
   * what nobody has seen, and issues another.
   * @param made of one that was made now, so that it can have no credential yet
   * @returns whether one was issued now
   */
  async issue(row: Row, made: Written | undefined): Promise<boolean> {
    const { tenant, issue } = row;
    const { journal } = this.#to;
    if (issue === undefined || journal.done.has(tenant)) return false;
    const open = journal.open.get(tenant);
    if (open !== undefined && this.#written.has(open)) {
      await journal.finish(tenant, open);
      return false;
    }
    if (made === undefined || open !== undefined) {
      const there = await readSecretIds(this.#access, tenant);
      // Ids of a journal that was tampered with, or is another's, are no reason to end anything but what bears them.
      const unseen = there.filter(({ metadata }) => open !== undefined && endingIdOf(metadata) === open);
      if (unseen.length > 0) await revokeSecretId(this.#access, { tenant, accessors: unseen.map(({ view }) => view.accessor) });
      if (there.some((one) => !unseen.includes(one) && one.view.name === issue.name)) return false;
    }
    const id = issue.kind === 'key' ? newKeyId() : newCredentialId();
    await journal.intend(tenant, id);
    await this.#to.issued.append(await this.#make(row, issue, id, made));
    await journal.finish(tenant, id);
    return true;
  }

  async #make({ tenant, spec }: Row, { kind, name }: NonNullable<Row['issue']>, id: string, made: Written | undefined): Promise<object> {
    const [role, roleId] =
      made === undefined
        ? await Promise.all([requireRole(this.#access, tenant), readRoleId(this.#access, tenant)])
        : [newRole(spec), made.roleId];
    const known = { role, roleId, operator: { ...this.#operator, now: Math.max(this.#operator.now, Date.now()) }, limit: this.#limit };
    const about = this.#to.about?.get(tenant);
    if (kind === 'key') {
      const { key, expires_at } = await issueAs(this.#access, id, { tenant, name, environment: DEFAULT_ENVIRONMENT }, known);
      return { ...about, tenant, id, kind, name, client_id: roleId, key, expires_at };
    }
    const { wrap } = this.#to;
    const options = { tenant, name, wrap, metadata: { [CREDENTIAL_ID_METADATA]: id } };
    const { expires_at, secret_id, wrapping_token, wrap_expires_at } = await issueSecretId(this.#access, options, known);
    if (secret_id === undefined && wrapping_token === undefined)
      throw new PosternError('temporarily_unavailable', 'Vault answered without a secret_id');
    return { ...about, tenant, id, kind, name, client_id: roleId, secret_id, wrapping_token, wrap_expires_at, expires_at };
  }
}

/** What Vault would say of a role that was made to this specification, as far as issuing asks. */
function newRole({ secretIdTtl = 0, secretIdNumUses = 0, cidrs = [] }: TenantSpecification): Record<string, unknown> {
  return { token_type: 'batch', secret_id_ttl: secretIdTtl, secret_id_num_uses: secretIdNumUses, secret_id_bound_cidrs: cidrs };
}
