import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { explain } from '#broker/operator/refusal.ts';
import type { Output, Terminal } from '#cli/output.ts';
import type { Call, Context } from './context.ts';
import { inWords } from './duration.ts';
import { readSecret } from './secret-input.ts';
import { mountsOf } from './settings.ts';
import type { GlobalOptions } from './settings.ts';
import { trustForBroker, vaultClient } from './vault-access.ts';
import { exchange } from './token/exchange.ts';
import { revokeTokensCommand } from './token/revoke.ts';
import type { CustomerCredential, Exchanged } from './token/exchange.ts';
import type { DecodedToken } from './token/verify.ts';

interface Options {
  clientId?: string;
  audience?: string;
  scope?: string;
  url?: string;
  secretFile?: string;
  wrapped?: boolean;
  keyFile?: string;
  kid?: string;
  vaultTokenFile?: string;
  raw?: boolean;
}

export function tokenCommand(context: Context): Command {
  return context
    .command('token', 'play the customer: exchange a credential at the broker, and show and verify what comes back', [
      ['postern token --client-id <role_id> --audience https://orders.example.com', 'asks for the secret_id'],
      ['postern token --client-id <role_id> --wrapped < wrapping-token', 'opens a wrapping token (once!) and uses what is in it'],
      ['postern token --client-id <role_id> --key-file key.pem --audience https://orders.example.com', 'authenticates by its own key'],
      ['curl -H "Authorization: Bearer $(postern token --raw --client-id <role_id> --secret-file secret)" …', 'the token alone'],
    ])
    .option('--client-id <id>', "the tenant's role_id [$POSTERN_CLIENT_ID]")
    .option('--secret-file <file>', 'the secret_id; else $POSTERN_CLIENT_SECRET, else stdin, else it is asked for')
    .option('--wrapped', 'what is given is a wrapping token of `secret issue`: open it at Vault first')
    .option('--key-file <file>', 'authenticate by the private key in this PEM file (private_key_jwt) in place of a secret')
    .option('--kid <id>', 'which of the registered keys it is; left out, any')
    .option('--vault-token-file <file>', 'exchange the Vault token in this file (RFC 8693); needs no client id')
    .option('--audience <uri>', "the API (default: the tenant's default API)")
    .option('--scope <scopes>', 'fewer scopes than granted, separated by spaces')
    .option('--url <url>', 'the broker [$POSTERN_URL] (default: http://127.0.0.1:8080)')
    .option('--raw', 'the token alone on stdout; with --json, as access_token')
    .action(context.action<Options>(play))
    .addCommand(revokeTokensCommand(context));
}

async function play({ options, output, terminal, end }: Call<Options>): Promise<void> {
  const { env, signal } = terminal;
  const url = brokerUrl(options.url ?? env['POSTERN_URL']);
  await trustForBroker(options, terminal);
  const exchanged = await exchange({
    url,
    credential: await credentialOf(options, output, terminal),
    audience: options.audience,
    scope: options.scope,
    signal,
  });
  if (options.raw === true && !output.json) {
    output.result(undefined, exchanged.accessToken);
    return;
  }
  const { decodeAndVerify } = await import('./token/verify.ts');
  const decoded = await decodeAndVerify(exchanged.accessToken, options.audience);
  output.result(document(exchanged, decoded, options.raw === true), text(output, exchanged, decoded));
  if (decoded.fault === undefined) return;
  output.warn(`services would refuse this token: ${decoded.fault}`);
  end(6);
}

async function credentialOf(options: Options & GlobalOptions, output: Output, terminal: Call['terminal']): Promise<CustomerCredential> {
  const { secretFile, wrapped, keyFile, kid, vaultTokenFile } = options;
  if (
    [secretFile ?? wrapped, keyFile, vaultTokenFile].filter((way) => way !== undefined).length > 1 ||
    (kid !== undefined && keyFile === undefined)
  ) {
    throw new PosternError('invalid_request', 'More than one way to authenticate', {
      detail: 'Choose one of --secret-file or --wrapped, --key-file (with --kid), --vault-token-file.',
    });
  }
  if (vaultTokenFile !== undefined) return { vaultToken: await readSecret(terminal, output, 'Vault token', vaultTokenFile) };
  const clientId = options.clientId ?? terminal.env['POSTERN_CLIENT_ID'];
  if (!clientId)
    throw new PosternError('invalid_request', 'Whose token?', {
      detail: 'Name the role_id with --client-id: postern tenant show <tenant> tells it.',
    });
  if (keyFile !== undefined) return { clientId, privateKey: await readSecret(terminal, output, 'private key', keyFile), kid };
  const given = await credential(options, output, terminal);
  return { clientId, clientSecret: wrapped === true ? await unwrap(options, output, terminal, given) : given };
}

async function credential(options: Options, output: Output, terminal: Call['terminal']): Promise<string> {
  const what = options.wrapped === true ? 'wrapping token' : 'secret_id';
  const fromEnv = terminal.env['POSTERN_CLIENT_SECRET'];
  if (options.secretFile === undefined && options.wrapped !== true && fromEnv) return fromEnv;
  return readSecret(terminal, output, what, options.secretFile);
}

/** @throws {PosternError} access_denied where it was opened before, or holds no tenant's secret_id */
async function unwrap(options: Options & GlobalOptions, output: Output, terminal: Terminal, wrapping: string): Promise<string> {
  const { approle } = mountsOf(options);
  const client = vaultClient(options, terminal.env);
  try {
    await checkOrigin(client, wrapping, approle);
    const answer = await client.write('sys/wrapping/unwrap', {}, { token: wrapping });
    const secret = answer.data?.['secret_id'];
    if (typeof secret !== 'string') throw new PosternError('access_denied', 'The wrapping token holds no secret_id');
    output.note(
      'The wrapping token is opened, and with that used up: the secret_id in it was read by this command alone, and is not kept.',
    );
    return secret;
  } catch (error) {
    if (error instanceof VaultFault && (error.reason === 'invalid' || error.reason === 'denied')) throw used();
    throw explain(error, 'open the wrapping token', client.address);
  } finally {
    await client.close();
  }
}

/** Somebody who swapped the wrapping token for another could hand in a secret_id of their own: Vault tells what was wrapped where. */
async function checkOrigin(client: VaultClient, wrapping: string, approle: string): Promise<void> {
  const answer = await client.write('sys/wrapping/lookup', { token: wrapping });
  const path = answer.data?.['creation_path'];
  if (typeof path !== 'string' || !(path.startsWith(`auth/${approle}/role/`) && path.endsWith('/secret-id'))) {
    throw new PosternError('access_denied', 'The wrapping token was not made by `postern secret issue`: it is not opened', {
      detail: 'Ask whoever gave it to you.',
    });
  }
}

function used(): PosternError {
  return new PosternError('access_denied', 'The wrapping token was opened before, or has ended', {
    detail: 'If nobody of yours opened it, somebody else did: revoke that secret_id (postern secret revoke) and issue a new one.',
  });
}

/** With its slash. @throws {PosternError} invalid_request */
export function brokerUrl(given: string | undefined): string {
  const url = URL.parse(given || 'http://127.0.0.1:8080');
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new PosternError('invalid_request', 'The address of the broker must be a plain http or https URL', {
      detail: 'Set --url or POSTERN_URL, e.g. https://login.example.com',
    });
  }
  return url.href.endsWith('/') ? url.href : `${url.href}/`;
}

function document(exchanged: Exchanged, { header, claims, jwksUri, fault }: DecodedToken, raw: boolean): object {
  return {
    token_type: exchanged.tokenType,
    expires_in: exchanged.expiresIn,
    scope: exchanged.scope ?? null,
    verified: fault === undefined,
    fault: fault ?? null,
    jwks_uri: jwksUri ?? null,
    header,
    claims,
    milliseconds: Math.round(exchanged.milliseconds * 10) / 10,
    ...(raw ? { access_token: exchanged.accessToken } : {}),
  };
}

function text(output: Output, exchanged: Exchanged, { header, claims, jwksUri, fault }: DecodedToken): string {
  const verdict = fault === undefined ? output.style('green', `verified by ${jwksUri}`) : output.style('red', `NOT verified: ${fault}`);
  return [
    output.fields([
      ['signature', verdict],
      ['expires', `in ${inWords(exchanged.expiresIn)} (${new Date(Date.now() + exchanged.expiresIn * 1000).toISOString().slice(0, 19)}Z)`],
      ['scope', exchanged.scope || 'none'],
      ['answered in', `${exchanged.milliseconds.toFixed(0)} ms`],
    ]),
    '',
    output.style('bold', 'header'),
    JSON.stringify(header, null, 2),
    output.style('bold', 'claims'),
    JSON.stringify(claims, null, 2),
  ].join('\n');
}
