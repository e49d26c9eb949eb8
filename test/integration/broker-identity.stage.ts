import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { readConfig } from '#broker/config.ts';
import { createLog } from '#broker/log.ts';
import { startBroker } from '#broker/wiring/broker.ts';
import type { Broker } from '#broker/wiring/broker.ts';
import { freePort } from '#dev/port.ts';
import { applyTerraform, planTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { exchange } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startPluginVault } from '#test/fixture/plugin.ts';
import type { PluginVault } from '#test/fixture/plugin.ts';

export const JWT_ISSUER = 'https://platform.example.com/';
export const JWT_SUBJECT = 'workload/postern';
const AUDIENCE = 'https://reports.example.com';
/** Seconds within which a broker is back, as the issue asks; a busy machine gets more before a test fails. */
const PATIENCE = 30;

/** A tenant for each cold exchange: a token that is remembered would need nobody's login. */
const TENANTS = Array.from({ length: 40 }, (_, i) => `t${i}`);

export interface RunningBroker {
  broker: Broker;
  issuer: string;
  /** Lines of its log at warn and above, parsed. */
  warnings(): Record<string, unknown>[];
  close(): Promise<void>;
}

/** A server on a disk with `terraform/` applied, and files that hold credentials of its brokers. */
export interface IdentityStage {
  vault: PluginVault;
  folder: string;
  roleId: string;
  /** Terraform's second plan. */
  planned: { changes: boolean; text: string };
  secretId(): Promise<string>;
  /** A JWT of the platform. @param ttl seconds; negative: it has ended */
  jwt(claims?: Record<string, unknown>, ttl?: number): Promise<string>;
  /** Writes a credential as a careful program does: beside it, then renamed. @returns the path */
  put(name: string, value: string): Promise<string>;
  start(env: Readonly<Record<string, string>>): Promise<RunningBroker>;
  /** Revokes every token with the broker's policy. @returns how many */
  revokeBrokers(): Promise<number>;
  /** How long until an exchange succeeds that needs a signature, for which the broker needs its own token; s. */
  backIn(running: RunningBroker): Promise<number>;
  stop(): Promise<void>;
}

export async function startStage(variables: Readonly<Record<string, unknown>> = {}): Promise<IdentityStage> {
  const vault = await startPluginVault();
  const folder = await mkdtemp(join(tmpdir(), 'postern-identity-'));
  const brokers = new Set<RunningBroker>();
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const terraform = {
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: join(folder, 'terraform'),
    variables: {
      apis: { reports: { audience: AUDIENCE, source: 'transit', scopes: [] } },
      tenants: Object.fromEntries(TENANTS.map((name) => [name, { grants: [{ api: 'reports' }] }])),
      broker_jwt: {
        issuer: JWT_ISSUER,
        public_keys: [publicKey.export({ type: 'spki', format: 'pem' })],
        audiences: ['vault'],
        subject: JWT_SUBJECT,
      },
      audit: null,
      ...variables,
    },
  };
  // A server on Raft may still be making a new KV mount a versioned one when it is configured, and says so; the next apply goes on.
  const { outputs } = await applyTerraform(terraform).catch((error: Error) => {
    if (!error.message.includes('Upgrading from non-versioned to versioned data')) throw error;
    return applyTerraform(terraform);
  });
  const planned = await planTerraform(terraform);
  const roleIds = outputs['tenants'] as Record<string, { role_id: string }>;
  const cold = [...TENANTS];

  const stage: IdentityStage = {
    vault,
    folder,
    planned,
    roleId: String(outputs['broker_role_id']),
    async secretId() {
      const made = await vault.root('POST', 'auth/approle-broker/role/broker/secret-id');
      return registered('broker secret_id', String(made['data'].secret_id));
    },
    async jwt(claims = {}, ttl = 600) {
      const now = Math.floor(Date.now() / 1000);
      const token = await new SignJWT({ iss: JWT_ISSUER, sub: JWT_SUBJECT, aud: 'vault', jti: randomUUID(), ...claims })
        .setProtectedHeader({ alg: 'RS256' })
        .setIssuedAt(now - 1000)
        .setExpirationTime(now + ttl)
        .sign(privateKey);
      return registered("platform's JWT", token);
    },
    async put(name, value) {
      const path = join(folder, name);
      await writeFile(`${path}.new`, value, { mode: 0o600 });
      await rename(`${path}.new`, path);
      return path;
    },
    async start(env) {
      const port = await freePort();
      const issuer = `http://127.0.0.1:${port}/`;
      const warnings: Record<string, unknown>[] = [];
      const broker = await startBroker(
        readConfig({ POSTERN_ISSUER: issuer, POSTERN_LISTEN: `127.0.0.1:${port}`, VAULT_ADDR: vault.address, ...env }),
        createLog('warn', { write: (line) => void warnings.push(JSON.parse(line) as Record<string, unknown>) }),
        { write() {} },
      );
      const running: RunningBroker = {
        broker,
        issuer,
        warnings: () => warnings,
        async close() {
          brokers.delete(running);
          await broker.close();
        },
      };
      brokers.add(running);
      return running;
    },
    async revokeBrokers() {
      const { data } = await vault.root('LIST', 'auth/token/accessors');
      let revoked = 0;
      for (const accessor of data.keys as string[]) {
        const { json } = await vault.call('POST', 'auth/token/lookup-accessor', { accessor });
        if (!json['data']?.policies?.includes('postern-broker')) continue;
        await vault.root('POST', 'auth/token/revoke-accessor', { accessor });
        revoked++;
      }
      return revoked;
    },
    async backIn(running) {
      const begun = performance.now();
      const tenant = cold.pop();
      if (tenant === undefined) throw new Error('no tenant is left that never had a token');
      const made = await vault.root('POST', `auth/approle/role/${tenant}/secret-id`);
      const credential = { client_id: roleIds[tenant]!.role_id, client_secret: registered('secret_id', String(made['data'].secret_id)) };
      for (;;) {
        const { status, text } = await exchange(running, credential, { audience: AUDIENCE });
        const seconds = (performance.now() - begun) / 1000;
        if (status === 200) return Math.round(seconds * 100) / 100;
        if (seconds > PATIENCE) throw new Error(`not back in ${PATIENCE} s: ${status} ${text}, ${running.broker.missing().join('; ')}`);
        await sleep(50);
      }
    },
    async stop() {
      await Promise.all([...brokers].map((one) => one.close()));
      await vault.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return stage;
}

function registered(kind: string, value: string): string {
  registerSecret(kind, value);
  return value;
}

/** Where POSTERN_IDENTITY_TABLE is set, a row for the table of docs/broker-identity.md. */
export function measured(method: string, event: string, seconds: number): void {
  if (process.env['POSTERN_IDENTITY_TABLE'] !== undefined) process.stderr.write(`| ${method} | ${event} | ${seconds} |\n`);
}
