import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { allCommands } from '#cli/command/catalogue.ts';
import { Context } from '#cli/command/context.ts';
import { buildProgram, run } from '#cli/command/program.ts';
import { fakeTerminal } from './terminal.ts';

/* Every command, whoever adds it: with --json one document on stdout or one error object on stderr, and destruction asks. */

const context = new Context(fakeTerminal());
const program = buildProgram(context, '1.2.3', await allCommands(context));

function leaves(command: Command, path: readonly string[] = []): [string, Command][] {
  const found = command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
  // `token` does something itself, and has a command below it.
  return path.length > 0 && (found.length === 0 || path.join(' ') === 'token') ? [[path.join(' '), command], ...found] : found;
}

const commands = leaves(program);

/** Not run with --json here, and why. */
const WITHOUT: Readonly<Record<string, string>> = {
  'audit query': 'gives the lines of an audit as they are, one JSON object a line, and none where none matches',
  'audit tail': 'the same',
  dev: 'starts Vault; test/e2e/dev.test.ts reads its JSON',
  login: 'waits for a browser; test/e2e/oidc.test.ts reads its JSON',
};

/** An argument of each kind that passes the command's own checks, so that it goes as far as Vault. */
function argumentsOf(command: Command): string[] {
  return command.registeredArguments.filter(({ required }) => required).map(({ argChoices }) => argChoices?.[0] ?? 'acme');
}

test('there are commands to look at', () => {
  expect(commands.length).toBeGreaterThan(25);
  for (const name of Object.keys(WITHOUT)) expect(commands.map(([path]) => path)).toContain(name);
});

test.each(commands.filter(([path]) => WITHOUT[path] === undefined))('%s takes --json', async (path, command) => {
  // No broker, no Vault, nothing on stdin: a command that needs none of these gives a document, every other one an error.
  const env = { VAULT_ADDR: 'http://127.0.0.1:1', VAULT_TOKEN: 'hvs.any', POSTERN_URL: 'http://127.0.0.1:1', HOME: '/nonexistent' };
  const terminal = fakeTerminal({ env, input: '' });
  const code = await run([...path.split(' '), ...argumentsOf(command), '--json'], terminal, '1.2.3');
  if (code === 0) {
    expect(JSON.parse(terminal.out())).toBeTypeOf('object');
    return;
  }
  expect(terminal.out() === '' || typeof JSON.parse(terminal.out()) === 'object').toBe(true);
  if (terminal.out() !== '') return;
  const last = terminal.err().trimEnd().split('\n').at(-1) ?? '';
  expect(JSON.parse(last), terminal.err()).toMatchObject({ error: expect.any(String), message: expect.any(String) });
});

/** What takes something away and doesn't ask, and why: it can be undone, and the command tells how, or nothing that works is lost. */
const UNASKED: Readonly<Record<string, string>> = {
  'tenant disable': 'in an incident every second counts; it tells of `tenant enable`, which undoes it',
  'key prune': 'destroys what brokers refuse already, by a nightly job',
  'trust remove': 'names what goes, and tells the `trust add` that brings it back',
};
/** What asks only where all are meant: one by one they are named, which is answer enough. */
const WITH_ALL: readonly string[] = ['key revoke', 'secret revoke'];

const ASKS = /(^| )(delete|remove|revoke|prune|disable|retire|drop)$/;

test('what ends many things asks, or takes --yes', () => {
  const ending = commands.filter(([path]) => ASKS.test(path));
  expect(ending.length).toBeGreaterThan(6);
  for (const [path, command] of ending)
    expect(command.options.some(({ long }) => long === '--yes') || UNASKED[path] !== undefined, path).toBe(true);
  for (const path of [...Object.keys(UNASKED), ...WITH_ALL]) expect(ending.map(([one]) => one)).toContain(path);
});

/** What has to look first, to say in its question what goes. */
const LOOKS_FIRST: Readonly<Record<string, string>> = {
  'migrate retire': 'names the applications of the plan and since when each is out of use; test/integration/migration.test.ts',
};

const asking = commands.filter(
  ([path, command]) => ASKS.test(path) && LOOKS_FIRST[path] === undefined && command.options.some(({ long }) => long === '--yes'),
);

test.each(asking)('%s refuses where nobody can be asked, before it goes to Vault', async (path, command) => {
  const env = { VAULT_ADDR: 'http://127.0.0.1:1', VAULT_TOKEN: 'hvs.any', HOME: '/nonexistent' };
  const terminal = fakeTerminal({ env, input: '' });
  const mandatory = command.options.filter((one) => one.mandatory).flatMap(({ long }) => [long ?? '', '1']);
  const words = [...path.split(' '), ...argumentsOf(command), ...mandatory, ...(WITH_ALL.includes(path) ? ['--all'] : [])];
  expect(await run(words, terminal, '1.2.3'), terminal.err()).toBe(2);
  expect(terminal.err()).toMatch(/needs a confirmation[^]*--yes/);
  const meant = fakeTerminal({ env, input: '' });
  expect(await run([...words, '--yes'], meant, '1.2.3'), meant.err()).not.toBe(2);
});
