import type { Command } from 'commander';
import { ApiKey } from '#broker/credential/api-key.ts';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import { PosternError } from '#broker/error.ts';
import { holderOfClient, holderOfCredential } from '#broker/operator/key/holder.ts';
import type { Holder } from '#broker/operator/key/holder.ts';
import { chosen } from './audit/query.ts';
import { linesOf } from './audit/lines.ts';
import type { Context, VaultCall } from './context.ts';

const SHA256 = /^[0-9a-f]{64}$/i;
/** Longer than a Vault token or an API key is wide; whatever has the form of one is refused. */
const SECRET = /^(hv[sbr]\.|[sbr]\.|eyJ|postern_)/;

interface Options {
  audit?: string[];
}

export function whoCommand(context: Context): Command {
  return context
    .command('who', 'whose an id is that stands in a log', [
      ['postern who 5f0c7d0e-1f0a-4a5e-9a5b-8f4d3c2b1a00', 'a client_id (role_id), or an accessor'],
      ['postern who key_0f1e2d3c4b5a69788796a5b4', 'a key id, or the cred_… of another secret_id'],
      ['postern who 9f86d081884c7d65… --audit audit.jsonl', 'the SHA-256 of a client_id or, with the audit, of a token'],
    ])
    .argument('<id>', 'client_id, client_id_sha256, key id, accessor, or token_sha256')
    .option('--audit <file...>', 'audits in which a token is looked for; - is standard input (default: POSTERN_AUDIT_FILE)')
    .addHelpText(
      'after',
      `
For ids only, which are no secrets: a key itself goes to \`postern key identify\`.
Exit code 4 means that nobody has it, as far as Vault and the audit know. A token is known by the audit alone.`,
    )
    .action(
      context.vaultAction<Options, [string]>(async (call, id) => {
        if (SECRET.test(id) || ApiKey.parse(id) !== undefined || !CLIENT_ID.test(id))
          throw new PosternError('invalid_request', 'This is no id: it may be a secret, which must not be typed here', {
            detail: 'A key: postern key identify, on standard input. A token: give its SHA-256, as the audit has it.',
          });
        const { output, end } = call;
        const holders = await holdersOf(call, SHA256.test(id) ? id.toLowerCase() : id);
        const columns = ['TENANT', 'IS', 'KEY ID', 'ACCESSOR', 'STATE', 'AT'];
        output.result(
          { id, holders },
          output.table(
            columns,
            holders.map((one) => [one.tenant, one.kind, one.key_id ?? '-', one.accessor ?? '-', one.state, one.at ?? '-']),
          ),
        );
        if (holders.length > 0) return;
        const hint = SHA256.test(id) && call.options.audit === undefined ? ' For a token name the audit: --audit <file>.' : '';
        output.note(`Nobody has it, as far as is known.${hint}`);
        end(4);
      }),
    );
}

async function holdersOf(call: VaultCall<Options>, id: string): Promise<Holder[]> {
  const { access, output, options, terminal } = call;
  const progress = { onProgress: output.counter('tenants'), signal: terminal.signal };
  if (/^(key|cred)_/.test(id)) return listed(await holderOfCredential(access, id, progress));
  const audits = options.audit ?? (terminal.env['POSTERN_AUDIT_FILE'] ? [terminal.env['POSTERN_AUDIT_FILE']] : []);
  if (SHA256.test(id)) {
    const inAudit: Holder[] = [];
    for (const file of audits) inAudit.push(...(await tokenHolders(call, file, id)));
    const distinct = new Map(inAudit.map((one) => [`${one.tenant} ${one.key_id}`, one]));
    if (distinct.size > 0) return [...distinct.values()];
  }
  return listed((await holderOfClient(access, id, progress)) ?? (await holderOfCredential(access, id, progress)));
}

/** Whoever got this token: several keys of one tenant may share one. */
async function tokenHolders({ terminal }: VaultCall<Options>, file: string, sha256: string): Promise<Holder[]> {
  const found = new Map<string, Holder>();
  for await (const { line } of chosen(linesOf(terminal, file), { tokenSha256: sha256, outcome: 'granted' })) {
    const { tenant, key_id: keyId, client_id: clientId, time } = line;
    if (typeof tenant !== 'string') continue;
    const key = typeof keyId === 'string' ? keyId : null;
    found.set(`${tenant} ${key}`, {
      kind: 'token',
      tenant,
      client_id: typeof clientId === 'string' ? clientId : null,
      key_id: key,
      accessor: null,
      state: 'active',
      at: time,
    });
  }
  return [...found.values()];
}

function listed(one: Holder | undefined): Holder[] {
  return one === undefined ? [] : [one];
}
