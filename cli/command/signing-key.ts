import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { DEFAULT_JWKS_MAX_AGE, readSigningKey, retireSigningKeys, rotateSigningKey } from '#broker/operator/signing-key.ts';
import type { SigningKey } from '#broker/operator/signing-key.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import type { Output } from '#cli/output.ts';
import type { Context } from './context.ts';
import { count, inWords, moment, seconds } from './duration.ts';
import { confirm } from './secret-input.ts';

export function signingKeyCommand(context: Context): Command {
  const group = context.command(
    'signing-key',
    "the key by which brokers sign tokens (source transit); it never leaves Vault's transit engine",
  );
  for (const command of [listCommand, rotateCommand, retireCommand]) group.addCommand(command(context));
  return group;
}

function listCommand(context: Context): Command {
  return context
    .command('list', 'its versions, oldest first', [['postern signing-key list', 'which are published for services to verify by']])
    .action(context.vaultAction<object>(async ({ access, output }) => show(output, await readSigningKey(access))));
}

function rotateCommand(context: Context): Command {
  return context
    .command('rotate', 'a new version; those before it go on verifying what they signed', [
      ['postern signing-key rotate', 'asks first'],
      ['postern signing-key rotate --yes', 'for a monthly job'],
    ])
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nIt is published at once, and signs when twice POSTERN_JWKS_MAX_AGE has passed (10 minutes by default), so that services have\n' +
        'it by then. Nothing else is to be done; `signing-key retire` takes old versions away later.',
    )
    .action(
      context.vaultAction<{ yes?: boolean }>(async ({ access, options, output, terminal }) => {
        if (options.yes !== true && !(await confirm(terminal, 'Make a new version of the signing key?')))
          throw new PosternError('invalid_request', 'Nothing was changed');
        show(output, await rotateSigningKey(access));
      }),
    );
}

interface Retire {
  before: number;
  force?: boolean;
  jwksMaxAge: number;
  yes?: boolean;
}

function retireCommand(context: Context): Command {
  return context
    .command('retire', 'take old versions out of the key set: services refuse whatever they signed', [
      ['postern signing-key retire --before 3', 'versions 1 and 2, once no token of theirs is alive'],
      ['postern signing-key retire --before 3 --force --yes', 'at once: somebody else may sign by them'],
    ])
    .requiredOption('--before <version>', 'the oldest version that stays', count)
    .option('--force', 'though tokens that they signed may be alive: those are refused from then on')
    .option('--jwks-max-age <duration>', "the brokers' POSTERN_JWKS_MAX_AGE, where it isn't 5m", seconds, DEFAULT_JWKS_MAX_AGE)
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nBrokers publish the shorter set within 30 s; services that keep a key set believe the old one for POSTERN_JWKS_MAX_AGE more.',
    )
    .action(
      context.vaultAction<Retire>(async ({ access, options, output, terminal }) => {
        const { before, force = false, jwksMaxAge } = options;
        const question = `Services will refuse every token that a version before ${before} has signed. Go on?`;
        if (options.yes !== true && !(await confirm(terminal, question))) throw new PosternError('invalid_request', 'Nothing was changed');
        const { now } = await whoIs(access);
        show(output, await retireSigningKeys(access, before, { force, now, jwksMaxAge }));
      }),
    );
}

function show(output: Output, key: SigningKey): void {
  output.result(
    key,
    output.table(
      ['VERSION', 'CREATED', 'STATE'],
      key.versions.map(({ version, created_at: at, state }) => [String(version), output.forPeople ? moment(at, '-') : at, state]),
    ),
  );
  output.note(
    `${key.name} (${key.type})${key.retired === 0 ? '' : `; retired: up to version ${key.retired}`}; ` +
      `a token signed by it lives up to ${inWords(key.longest_life)}.`,
  );
}
