import { randomBytes } from 'node:crypto';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import type { Output, Terminal } from '#cli/output.ts';
import { loginAnswer } from './answer.ts';
import type { LoginAnswer } from './answer.ts';
import { openBrowser } from './browser.ts';
import { listenForCallback } from './callback.ts';
import type { Callback, CallbackListener } from './callback.ts';

export interface OidcOptions {
  client: VaultClient;
  /** Where Vault's OIDC method is mounted. */
  mount: string;
  role: string;
  /** On this machine, where the browser comes back to. */
  port: number;
  /** Whether the browser is opened, too; the address is printed at any rate. */
  open: boolean;
}

/** A person looks for their second factor; Vault forgets a login after ten minutes. ms */
const PATIENCE_MS = 5 * 60_000;

/**
 * Logs in as `vault login -method=oidc` does: Vault says where to, the browser goes there and comes back with a code, and Vault alone
 * redeems it ("JWT/OIDC auth method", HTTP API). The nonce never leaves this process but to Vault: a stolen code is worth nothing.
 * @throws {PosternError} @throws {VaultFault}
 */
export async function oidcLogin(options: OidcOptions, output: Output, terminal: Terminal): Promise<LoginAnswer> {
  const listener = await listenForCallback(options.port);
  try {
    return await through(listener, options, output, terminal);
  } finally {
    listener.close();
  }
}

async function through(listener: CallbackListener, options: OidcOptions, output: Output, terminal: Terminal): Promise<LoginAnswer> {
  const nonce = randomBytes(24).toString('base64url');
  const url = await addressOf(options, listener.redirectUri, nonce);
  const state = url.searchParams.get('state');
  if (state === null)
    throw new PosternError('misconfigured', 'Vault names a login page without a state', { detail: 'Is auth/oidc Vault’s?' });
  output.note(`Log in here:\n\n  ${url.href}\n`);
  const back = listener.next(state, AbortSignal.any([terminal.signal, AbortSignal.timeout(PATIENCE_MS)]));
  // Whoever waits for it does so below; an interruption before that must not count as unheard.
  back.catch(() => {});
  if (options.open && !(await openBrowser(url.href, terminal.env))) output.note('No browser could be opened: open the address yourself.');
  const { callback, answer } = await back.catch((error: unknown) => {
    if (terminal.signal.aborted || (error as Error).name !== 'TimeoutError') throw error;
    throw new PosternError('access_denied', `Nobody logged in within ${PATIENCE_MS / 60_000} minutes`, { detail: 'Begin again.' });
  });
  try {
    const login = await redeem(options, callback, nonce);
    await answer('done');
    return login;
  } catch (error) {
    await answer('refused');
    throw error;
  }
}

/** The login page, at the issuer. @throws {PosternError} misconfigured, access_denied */
async function addressOf({ client, mount, role }: OidcOptions, redirectUri: string, nonce: string): Promise<URL> {
  const asked = await client
    .write(`auth/${mount}/oidc/auth_url`, { role, redirect_uri: redirectUri, client_nonce: nonce })
    .catch((error: unknown) => {
      if (!(error instanceof VaultFault)) throw error;
      if (error.reason === 'denied' || error.isOfNoMount)
        throw new PosternError('misconfigured', `Vault has no login at auth/${mount}`, {
          detail: "It is Terraform's `oidc`. Is --oidc-mount (POSTERN_OIDC_MOUNT) right? While Auth0 is away: --method userpass.",
        });
      if (error.reason === 'invalid')
        throw new PosternError('invalid_request', `Vault can't begin a login as ${role}: ${error.message}`, {
          detail: 'Terraform makes the roles operator and auditor; the client secret may be written by hand (docs/production.md).',
        });
      throw error;
    });
  const address = asked.data?.['auth_url'];
  const url = typeof address === 'string' ? URL.parse(address) : null;
  if (url !== null && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
  // Vault's answer to a role or a way back that it doesn't know is an empty address.
  throw new PosternError('misconfigured', `Vault does not let ${role} log in by way of ${redirectUri}`, {
    detail:
      'The role must be there, and redirect_uris (Terraform’s `oidc`) and the callbacks of the Auth0 application must name this address.',
  });
}

async function redeem({ client, mount, role }: OidcOptions, { code, state }: Callback, nonce: string): Promise<LoginAnswer> {
  const query = { state, code, client_nonce: nonce };
  // Once: a code is redeemed by the first attempt, whatever became of its answer.
  const answer = await client.read(`auth/${mount}/oidc/callback`, { query, attempts: 1 }).catch((error: unknown) => {
    if (!(error instanceof VaultFault) || (error.reason !== 'invalid' && error.reason !== 'denied')) throw error;
    throw new PosternError('access_denied', `Vault does not let you in as ${role}`, {
      detail: /claim/.test(error.message)
        ? `Your Auth0 user lacks the role ${role}: somebody who manages it there must give it to you (terraform/README.md).`
        : error.message,
    });
  });
  return loginAnswer(answer ?? {}, role);
}
