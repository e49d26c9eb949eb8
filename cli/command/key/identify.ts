import type { Command } from 'commander';
import { credentialIn, identify } from '#broker/operator/key/identify.ts';
import type { Found } from '#broker/operator/key/identify.ts';
import { PosternError } from '#broker/error.ts';
import type { Context } from '#cli/command/context.ts';
import { moment } from '#cli/command/duration.ts';
import { readSecret } from '#cli/command/secret-input.ts';

export function identifyCommand(context: Context): Command {
  return context
    .command('identify', 'whose a key is that somebody found, and whether it still works', [
      ['postern key identify --file leaked', 'a file with the key, alone or amid other text'],
      ['pbpaste | postern key identify', 'from a pipe; without one it is asked for and not shown'],
      ['postern key identify --json < leaked | jq -r \'"\\(.tenant) \\(.key_id)"\'', 'what `postern key revoke` wants to know'],
    ])
    .option('--file <path>', 'the file that it is in; never the key itself, which everybody on the machine would see')
    .addHelpText(
      'after',
      `
Also a client_id and its secret with a colon between them. Nobody logs in with it: it loses none of its uses, and it is
found wherever it may be used from. States are those of \`postern key list\`, and \`gone\`: Vault has no such secret (any
more), of which the tenant is known by the client_id alone.
Exit code 0: Vault has it, in whatever state · 4: it is gone, or no tenant has its client_id · 2: it is no key of ours.`,
    )
    .action(
      context.vaultAction<{ file?: string }>(async ({ access, options, output, terminal, end }) => {
        const credential = credentialIn(await readSecret(terminal, output, 'key', options.file));
        const found = await identify(access, credential, { onProgress: output.counter('tenants'), signal: terminal.signal });
        if (found === undefined)
          throw new PosternError('not_found', 'No tenant has the client_id of this credential', {
            detail: 'It is of another Postern (mind --vault-addr), or of a tenant deleted before deletions were noted.',
          });
        output.result(found, output.fields(rows(found)));
        if (found.state !== 'gone') {
          output.note(next(found));
          return;
        }
        output.note(
          found.ended.length === 0
            ? 'It is gone: revoked or at its end, longer than seven days ago or by itself, or its secret was never issued.'
            : `It is gone. Of ${found.tenant} ended in the last seven days: ${found.ended.map(({ key_id: id, at }) => `${id} (${at})`).join(', ')}.`,
        );
        end(4);
      }),
    );
}

function rows(found: Found): [string, string][] {
  const tenant = found.tenant_state === 'active' ? found.tenant : `${found.tenant} (${found.tenant_state})`;
  if (found.state === 'gone')
    return [
      ['tenant', tenant],
      ['client_id', found.client_id],
      ['state', found.state],
    ];
  return [
    ['tenant', tenant],
    [found.kind === 'api_key' ? 'key id' : 'credential id', found.key_id ?? '-'],
    ['accessor', found.accessor ?? '-'],
    ['name', found.name ?? '-'],
    ['owner', found.owner ?? '-'],
    ['state', found.state],
    ['issued', `${moment(found.issued_at, '-')} by ${found.issued_by ?? '-'}`],
    ['expires', moment(found.expires_at, 'when revoked')],
    ['last used', found.kind === 'api_key' ? moment(found.last_used_at, 'never seen') : 'not kept for each secret_id'],
    ['usable from', found.cidrs.join(', ') || 'wherever its tenant is'],
  ];
}

function next({ tenant, tenant_state: of, kind, key_id: id, accessor, state }: Found): string {
  if (state === 'ended') return 'Brokers refuse it.';
  const end = kind === 'api_key' ? `postern key revoke ${tenant} ${id ?? accessor}` : `postern secret revoke ${tenant} ${accessor}`;
  return `${of === 'active' ? 'It works' : `Nothing is issued to it, since its tenant is ${of}`}. To end it: ${end}`;
}
