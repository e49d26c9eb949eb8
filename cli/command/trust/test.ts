import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { PosternError } from '#broker/error.ts';
import { testTrust } from '#broker/operator/trust/test.ts';
import type { Context } from '#cli/command/context.ts';

interface Options {
  tokenFile: string;
  privateHost?: string[];
}

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

export function testCommand(context: Context): Command {
  return context
    .command('test', 'why a token is trusted, or is not, claim by claim; the token itself is never shown', [
      ['postern trust test acme ci --token-file token', 'exit code 0: trusted, 3: not'],
    ])
    .argument('<tenant>')
    .argument('<name>')
    .requiredOption('--token-file <file>', 'holds the JWT, which is a secret until it ends')
    .option('--private-host <host>', 'of an issuer at a private address, as in POSTERN_TRUST_PRIVATE_HOSTS (repeatable)', collect)
    .action(
      context.vaultAction<Options, [string, string]>(async ({ access, options, output, end }, tenant, name) => {
        const jwt = await readFile(options.tokenFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
          throw new PosternError('invalid_request', `The file of --token-file can't be read (${error.code})`);
        });
        // Loaded only here: it brings the packages for keys and signatures.
        const { FetchedKeys } = await import('#broker/issuer/issuer-keys.ts');
        const keys = new FetchedKeys({ privateHosts: options.privateHost ?? [] });
        const result = await testTrust(access, keys, tenant, name, jwt.trim());
        const rows = result.findings.map(({ of, good, why, found }) => [good ? 'good' : 'BAD', of, why, found ?? '']);
        output.result(
          { ...result },
          `${output.table(['', 'OF THE TOKEN', 'RULE', 'FOUND'], rows)}\n${result.trusted ? 'Trusted' : 'Not trusted'}.`,
        );
        if (!result.trusted) end(3);
      }),
    );
}
