import { AppRoleCredential } from '#broker/credential/approle.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import type { Clock } from '#broker/clock.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { checkAndSet } from '#broker/operator/check-and-set.ts';
import { announceEndings } from '#broker/operator/ending.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { EXPIRY_METADATA } from '#broker/vault/key-metadata.ts';
import { UPSTREAM } from './auth0.ts';
import { EPOCH } from './timeline.ts';
import { SimulatedVault } from './vault.ts';
import { ADDRESS, Wire } from './wire.ts';
import type { World } from './world.ts';

/** A secret_id as its holder has it. */
export interface Issued {
  readonly tenant: string;
  readonly secret: AppRoleCredential;
  /** By which its end is announced. */
  readonly id: string;
  readonly roleId: string;
  readonly address: string;
  /** An operator is ending it, or has. */
  ended: boolean;
  /** When it ends by itself, ms of the timeline. */
  readonly endsAt?: number;
  /** When it was destroyed in Vault and nobody was told, ms of the timeline. */
  destroyedAt?: number;
  /** When brokers were told that something of its tenant had changed after that. */
  toldAt?: number;
}

export const SCOPES = ['read', 'write'];
const LIVES = 3_600;

export function tenantName(index: number): string {
  return `tenant-${index}`;
}

export function audienceOf(api: number): string {
  return `https://api-${api}.example.com`;
}

/** What people do to tenants and their credentials, by the code that the CLI and the admin API run. */
export class Operators {
  readonly credentials: Issued[] = [];
  readonly #world: World;
  readonly #clock: Clock;
  /** Whom Terraform's catalogue disables. */
  readonly #shut = new Set<string>();
  /** Two people, who don't know of each other. */
  readonly #accesses: readonly VaultAccess[];
  #turn = 0;
  #serial = 0;

  constructor(world: World) {
    this.#world = world;
    const { timeline, plan } = world;
    const chance = world.chance('operators');
    const clock: Clock = {
      now: () => EPOCH + timeline.now,
      monotonic: () => timeline.now,
      random: chance.random,
      uuid: () => 'operator',
      after: (ms, work) => timeline.after(ms, work),
      sleep: (ms) => timeline.sleep(ms),
    };
    this.#clock = clock;
    this.#accesses = [0, 1].map((index) => {
      const transport = new Wire({ world, replica: plan.settings.replicas, name: `operator${index}`, clock, lives: () => true });
      const client = new VaultClient({ address: ADDRESS, ...clock, transport });
      return new VaultAccess({ client, token: new VaultToken(SimulatedVault.root), clock });
    });
  }

  /** What there is at the beginning. */
  setUp(): void {
    const { vault, plan } = this.#world;
    const write = (path: string, data: object): void =>
      void vault.handle('POST', path, { data: { ...data } }, SimulatedVault.root, 'operator');
    for (let api = 0; api < plan.settings.apis; api++)
      write(`postern/data/apis/api-${api}`, { audience: audienceOf(api), source: 'auth0', scopes: SCOPES });
    write('postern/data/upstream/auth0', UPSTREAM);
    // As after some use: what isn't there is an error each second.
    write('postern/data/state/epoch', { epoch: 0, disabled: [], recent: [] });
    for (const path of ['ended', 'departures', 'revocations']) write(`postern/data/state/${path}`, { serial: 0, recent: [] });
    write('postern/data/state/catalog', { digest: 'first', disabled: [] });
    for (let index = 0; index < plan.settings.tenants; index++) {
      const tenant = tenantName(index);
      this.#newRole(tenant);
      write(`postern/data/tenants/${tenant}`, this.#documentOf(tenant, SCOPES));
      this.issue(tenant);
    }
  }

  /** @param seconds after which it ends by itself */
  issue(tenant: string, seconds?: number): void {
    const { vault, timeline } = this.#world;
    const role = vault.roles.get(tenant);
    // Nobody hands out a credential of a tenant that isn't made yet.
    if (role === undefined || vault.peek(`postern/tenants/${tenant}`)?.['client_id'] !== role.roleId) return;
    const serial = ++this.#serial;
    const id = `cred_${serial.toString(16).padStart(24, '0')}`;
    const secretId = `secret-${serial}`;
    // By whole seconds, as it is written.
    const endsAt = seconds === undefined ? undefined : (Math.floor(timeline.now / 1000) + seconds) * 1000;
    role.secrets.set(secretId, {
      credential_id: id,
      ...(endsAt === undefined ? {} : { [EXPIRY_METADATA]: String((EPOCH + endsAt) / 1000) }),
    });
    const secret = AppRoleCredential.of(role.roleId, secretId);
    if (secret === undefined) throw new Error('no credential');
    const issued: Issued = { tenant, secret, id, roleId: role.roleId, address: `192.0.2.${serial % 250}`, ended: false };
    if (endsAt === undefined) return void this.credentials.push(issued);
    const lent: Issued = { ...issued, endsAt };
    this.credentials.push(lent);
    timeline.after(endsAt - timeline.now, () => (lent.ended = true));
    // Vault tidies up by and by.
    timeline.after(endsAt - timeline.now + 30_000, () => role.secrets.delete(secretId));
  }

  #newRole(tenant: string): void {
    // Two people may make it anew at once: the first one's is gone.
    const before = this.#world.vault.roles.get(tenant)?.roleId;
    for (const one of this.credentials) if (one.roleId === before) one.ended = true;
    this.#world.vault.roles.set(tenant, { roleId: `role-${tenant}-${++this.#serial}`, secrets: new Map() });
  }

  #documentOf(tenant: string, scopes: readonly string[]): Record<string, unknown> {
    const apis = Array.from({ length: this.#world.plan.settings.apis }, (_, api) => ({ api: `api-${api}`, scopes }));
    return { client_id: this.#world.vault.roles.get(tenant)?.roleId ?? null, grants: apis };
  }

  /** One operation. Who was interrupted, or refused for a while, repeats it until it is done. */
  async act(
    what: 'issue' | 'revoke' | 'disable' | 'enable' | 'recreate' | 'narrow' | 'widen' | 'end-tokens' | 'clear' | 'shut' | 'open',
    tenant: string,
  ): Promise<void> {
    const access = this.#accesses[this.#turn++ % this.#accesses.length]!;
    if (what === 'issue') return this.issue(tenant);
    await this.#carryOut(this.#stepsOf(what, tenant, access));
  }

  /** As a person who tries again. */
  async #carryOut(steps: readonly (() => unknown)[]): Promise<void> {
    for (const step of steps) {
      for (;;) {
        try {
          await step();
          break;
        } catch {
          await this.#clock.sleep(1_000);
        }
      }
    }
  }

  /** Past Postern, in Vault alone. @param told whether brokers hear that something changed, though not what */
  async destroy(tenant: string, told: boolean): Promise<void> {
    const one = this.credentials.find((credential) => credential.tenant === tenant && !credential.ended);
    if (one === undefined) return;
    one.ended = true;
    one.destroyedAt = this.#world.timeline.now;
    this.#world.vault.roles.get(tenant)?.secrets.delete(one.secret.reveal());
    if (!told) return;
    const access = this.#accesses[this.#turn++ % this.#accesses.length]!;
    await this.#carryOut([() => announce(access, tenant, 'changed')]);
    one.toldAt = this.#world.timeline.now;
  }

  #stepsOf(what: string, tenant: string, access: VaultAccess): (() => unknown)[] {
    const { vault } = this.#world;
    const now = (): number => vault.now;
    const tell = (change: 'changed' | 'disable' | 'enable') => () => announce(access, tenant, change);
    // As the CLI does: what somebody else has changed meanwhile is read anew.
    const document = (scopes: readonly string[]) => () =>
      checkAndSet(this.#clock, async () => {
        const path = `tenants/${tenant}`;
        const { version } = await access.call('read a tenant', ({ documents, as }) => documents.read(path, as));
        const data = this.#documentOf(tenant, scopes);
        return () => access.call('write a tenant', ({ documents, as }) => documents.write(path, data, version, as));
      });
    const clear = () => this.#clear(access, tenant);
    const later = () => this.#clock.sleep(2_000);
    switch (what) {
      case 'revoke': {
        const one = this.credentials.find((credential) => credential.tenant === tenant && !credential.ended);
        if (one === undefined) return [];
        one.ended = true;
        return [
          () => announceEndings(access, now(), [{ kind: 'credential', id: one.id, tenant }]),
          () => vault.roles.get(tenant)?.secrets.delete(one.secret.reveal()),
          tell('changed'),
        ];
      }
      case 'disable':
        return [tell('disable'), clear, later, clear];
      case 'enable':
        return [tell('enable')];
      case 'narrow':
        return [
          document(['read']),
          () => announceEndings(access, now(), [{ kind: 'issued', id: tenant, tenant, lives: LIVES }]),
          tell('changed'),
          clear,
        ];
      case 'widen':
        return [document(SCOPES), tell('changed')];
      case 'shut':
      case 'open': {
        if (what === 'shut') this.#shut.add(tenant);
        else this.#shut.delete(tenant);
        const catalog = { digest: `written-${++this.#serial}`, disabled: [...this.#shut] };
        return [() => access.call('write the catalogue', ({ documents, as }) => documents.write('state/catalog', catalog, undefined, as))];
      }
      case 'end-tokens':
        return [() => announceEndings(access, now(), [{ kind: 'tokens', id: tenant, tenant, lives: LIVES }]), tell('changed'), clear];
      case 'recreate': {
        const roleId = vault.roles.get(tenant)?.roleId ?? '';
        const endAll = (): void => {
          // Somebody else may have made it anew meanwhile.
          const now = vault.roles.get(tenant)?.roleId;
          for (const one of this.credentials) if (one.roleId === roleId || one.roleId === now) one.ended = true;
        };
        endAll();
        return [
          tell('disable'),
          () =>
            announceEndings(access, now(), [
              { kind: 'tokens', id: tenant, tenant, lives: LIVES },
              ...(roleId === '' ? [] : [{ kind: 'credential' as const, id: roleId, tenant, lives: LIVES }]),
            ]),
          () => {
            // Somebody may have issued another meanwhile.
            endAll();
            vault.roles.delete(tenant);
          },
          () => access.call('delete a tenant', ({ documents, as }) => documents.remove(`tenants/${tenant}`, as)),
          tell('disable'),
          clear,
          later,
          clear,
          tell('enable'),
          () => this.#newRole(tenant),
          document(SCOPES),
          tell('changed'),
          () => this.issue(tenant),
        ];
      }
      default:
        return [clear];
    }
  }

  async #clear(access: VaultAccess, tenant: string): Promise<void> {
    const list = (path: string): Promise<string[]> => access.call('list tokens', ({ tokens, as }) => tokens.list(path, as));
    const remove = (path: string): Promise<void> => access.call('delete a token', ({ tokens, as }) => tokens.remove(path, as));
    for (const entry of await list(tenant)) {
      if (!entry.endsWith('/')) await remove(`${tenant}/${entry}`);
      else for (const digest of await list(`${tenant}/${entry.slice(0, -1)}`)) await remove(`${tenant}/${entry}${digest}`);
    }
  }
}
