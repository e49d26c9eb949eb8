import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { explain } from '#broker/operator/refusal.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import type { Call, Context } from './context.ts';
import { confirm } from './secret-input.ts';
import { vaultClient } from './vault-access.ts';
import { checkedToken, readTokenFile, removeTokenFile } from './token-file.ts';

export function logoutCommand(context: Context): Command {
  return context
    .command('logout', 'end the login of ~/.vault-token: its token is revoked at Vault, then the file removed', [
      ['postern logout', 'of this machine; logins elsewhere go on'],
    ])
    .option('-y, --yes', 'do not ask before a root token is revoked')
    .addHelpText(
      'after',
      '\nWhile Vault is away nothing is removed, since the token would live on: run it again. VAULT_TOKEN is left alone.',
    )
    .action(context.action<{ yes?: boolean }>(logout));
}

async function logout(call: Call<{ yes?: boolean }>): Promise<void> {
  const { options, output, terminal } = call;
  if (terminal.env['VAULT_TOKEN']) output.warn('VAULT_TOKEN is set, and goes on: unset VAULT_TOKEN');
  const given = readTokenFile(terminal.env);
  if (given === undefined) {
    removeTokenFile(terminal.env);
    throw new PosternError('not_found', 'Nobody is logged in here: there is no token in ~/.vault-token');
  }
  const client = vaultClient(options, terminal.env);
  try {
    const outcome = await end(call, client, checkedToken(given).reveal());
    removeTokenFile(terminal.env);
    output.result({ logged_out: true, revoked: outcome === 'revoked', reason: REASONS[outcome].reason }, REASONS[outcome].text);
  } catch (error) {
    throw explain(error, 'end your token', client.address);
  } finally {
    await client.close();
  }
}

const REASONS = {
  revoked: { reason: null, text: 'You are logged out: the token is revoked.' },
  ended: { reason: 'ended', text: 'You are logged out: the token had ended before, or is of another Vault.' },
  refused: {
    reason: 'refused',
    text: "You are logged out here. Vault refuses to revoke the token: it has ended, or lacks Vault's policy `default` and lives on until its end.",
  },
  batch: {
    reason: 'batch',
    text: 'You are logged out here. The token is a batch token, which nobody can revoke: it lives on until its end.',
  },
} as const;

async function end({ options, terminal }: Call<{ yes?: boolean }>, client: VaultClient, token: string): Promise<keyof typeof REASONS> {
  try {
    // `vault server -dev` leaves its root token there, and without one nobody gets into a fresh Vault.
    const own = await client.read('auth/token/lookup-self', { token }).catch((error: unknown) => {
      if (error instanceof VaultFault && error.reason === 'denied' && !/invalid token/.test(error.message)) return undefined;
      throw error;
    });
    const policies = own?.data?.['policies'];
    const isRoot = Array.isArray(policies) && policies.includes('root');
    if (isRoot && options.yes !== true && !(await confirm(terminal, 'This is a root token. Revoke it for everybody?')))
      throw new PosternError('invalid_request', 'Nothing was changed');
    if (own?.data?.['type'] === 'batch') return 'batch';
    await client.write('auth/token/revoke-self', {}, { token });
    return 'revoked';
  } catch (error) {
    if (error instanceof VaultFault && error.reason === 'denied') return /invalid token/.test(error.message) ? 'ended' : 'refused';
    if (error instanceof VaultFault && error.reason === 'invalid' && /batch/.test(error.message)) return 'batch';
    throw error;
  }
}
