import { Option } from 'commander';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { explain } from '#broker/operator/refusal.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import type { Call, Context } from './context.ts';
import { inWords } from './duration.ts';
import { oidcLogin } from './login/oidc.ts';
import { userpassLogin } from './login/userpass.ts';
import type { LoginAnswer } from './login/answer.ts';
import { readSecret } from './secret-input.ts';
import { mountsOf } from './settings.ts';
import { vaultClient } from './vault-access.ts';
import { writeTokenFile } from './token-file.ts';

interface Options {
  method: 'oidc' | 'userpass';
  role?: string;
  port: string;
  browser: boolean;
  username?: string;
  passwordFile?: string;
}

export function loginCommand(context: Context): Command {
  return context
    .command('login', 'log in to Vault through Auth0, in the browser; the login is kept where `vault login` keeps it', [
      ['postern login', 'as an operator'],
      ['postern login --role auditor', 'as somebody who only looks'],
      ['postern login --no-browser', 'prints the address to open; on another machine first: ssh -L 8250:localhost:8250 …'],
      ['postern login --method userpass --username olivia', 'break-glass, while Auth0 is away: asks for the password'],
    ])
    .addOption(new Option('--method <name>', 'how').choices(['oidc', 'userpass']).default('oidc'))
    .option('--role <name>', 'what as, with oidc: operator (default) or auditor')
    .option('--port <number>', "where the browser comes back to on this machine; the Auth0 application's callbacks must name it", '8250')
    .option('--no-browser', 'print the address to open in place of opening it')
    .option('--username <name>', 'with userpass: who')
    .option('--password-file <file>', 'with userpass: the password; else from stdin, else it is asked for')
    .addHelpText('after', '\nThe token goes to ~/.vault-token, which only you can read. VAULT_TOKEN, where it is set, counts before it.')
    .action(context.action<Options>(login));
}

async function login(call: Call<Options>): Promise<void> {
  const { options, output, terminal } = call;
  const client = vaultClient(options, terminal.env);
  try {
    const answer = await (options.method === 'oidc' ? byOidc(call, client) : byUserpass(call, client));
    writeTokenFile(terminal.env, answer.token);
    const { name, policies, seconds, renewable } = answer;
    output.result(
      {
        logged_in: true,
        name,
        method: options.method,
        policies,
        ttl: seconds,
        expires_at: seconds === 0 ? null : new Date(Date.now() + seconds * 1000).toISOString(),
        renewable,
      },
      `You are ${output.style('bold', name)}, with the policies ${policies.join(', ')}, ${seconds === 0 ? 'until you log out' : `for ${inWords(seconds)}`}.`,
    );
    output.note('What they allow: postern whoami');
    if (terminal.env['VAULT_TOKEN']) output.warn('VAULT_TOKEN is set and counts before this login: unset VAULT_TOKEN');
  } catch (error) {
    throw explain(error, 'log you in', client.address);
  } finally {
    await client.close();
  }
}

function byOidc({ options, output, terminal }: Call<Options>, client: VaultClient): Promise<LoginAnswer> {
  refuseOf('userpass', { '--username': options.username, '--password-file': options.passwordFile });
  const port = Number(options.port);
  if (!(Number.isInteger(port) && port > 0 && port < 65_536))
    throw new PosternError('invalid_request', '--port is a number from 1 to 65535');
  return oidcLogin(
    { client, mount: mountsOf(options).oidc, role: options.role ?? 'operator', port, open: options.browser },
    output,
    terminal,
  );
}

async function byUserpass({ options, output, terminal }: Call<Options>, client: VaultClient): Promise<LoginAnswer> {
  refuseOf('oidc', { '--role': options.role });
  const { username, passwordFile } = options;
  if (!username) throw new PosternError('invalid_request', 'Who?', { detail: 'Name yourself with --username.' });
  return userpassLogin({
    client,
    mount: mountsOf(options).userpass,
    username,
    password: await readSecret(terminal, output, 'password', passwordFile),
  });
}

/** @throws {PosternError} invalid_request */
function refuseOf(method: string, given: Readonly<Record<string, string | undefined>>): void {
  const [option] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (option !== undefined) throw new PosternError('invalid_request', `${option} goes with --method ${method}`);
}
