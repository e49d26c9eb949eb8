import { Command, CommanderError } from 'commander';
import { PosternError } from '#broker/error.ts';
import { Output, exitCodeOf } from '#cli/output.ts';
import type { Terminal } from '#cli/output.ts';
import { commandsFor } from './catalogue.ts';
import { Context } from './context.ts';
import { addGlobalOptions } from './settings.ts';

const INTRODUCTION = `Machine customers get Auth0-compatible access tokens with a Vault AppRole credential.
These commands are for operators; all but token, serve, health and dev act on Vault with your own Vault token
(VAULT_TOKEN, or what \`postern login\` or \`vault login\` left in ~/.vault-token), which needs the policy postern-operator;
plugin needs more: see docs/plugin.md. On OpenBao, where a text says \`vault\`, the command is \`bao\`.`;

const AFTER = `
A first customer:
  postern login
  postern doctor
  postern tenant create acme --grant orders=read:orders,write:orders
  postern secret issue acme --name "nightly job" --ttl 90d
  postern token --client-id <role_id> --wrapped --audience https://orders.example.com
or, where a gateway asks /verify (docs/gateway.md), one string in place of both:
  (umask 077; postern key issue acme --name "web shop" --ttl 90d > key)

Exit codes:
  0  done
  1  a fault in postern itself
  2  wrong input: nothing was changed
  3  refused: by Vault's policies, by Auth0, or the credential is wrong
  4  not there, or there already
  5  Vault, Auth0 or the broker can't answer now: try again
  6  set up wrongly: something must be mended first (doctor found faults)
  130, 143  ended by Ctrl-C, by SIGTERM

Secrets are read from files, pipes or the keyboard, never from options. With --json an error is one JSON
object on stderr: {"error", "message", "remedy"}. NO_COLOR turns colours off.`;

export function buildProgram(context: Context, version: string, commands: readonly Command[]): Command {
  const { terminal } = context;
  const program = new Command('postern').description(INTRODUCTION).version(version, '--version', 'the version of postern');
  addGlobalOptions(program, terminal.env);
  // What isn't loaded has no options to tell of.
  program.configureHelp({ subcommandTerm: (command) => command.name() });
  program.addHelpText('after', AFTER);
  for (const command of commands) program.addCommand(command);
  settle(program, terminal);
  return program;
}

/** Errors are thrown instead of ending the process, and told in one form. */
function settle(command: Command, terminal: Terminal): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void terminal.stdout.write(text),
    writeErr: (text) => void terminal.stderr.write(text),
    outputError: () => {},
    getOutHelpWidth: () => terminal.stdout.columns ?? 100,
    getErrHelpWidth: () => terminal.stderr.columns ?? 100,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  for (const child of command.commands) settle(child, terminal);
}

/**
 * Runs one command line.
 * @param args without the program's name
 * @returns the exit code
 */
export async function run(args: readonly string[], terminal: Terminal, version: string): Promise<number> {
  const context = new Context(terminal);
  try {
    await buildProgram(context, version, await commandsFor(args, context)).parseAsync([...args], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // Called without a command: the help was shown.
    if (error instanceof CommanderError && error.code === 'commander.help') return 2;
    const told = error instanceof CommanderError ? usage(error) : error;
    // Ended by a signal: there is nothing to explain.
    if (terminal.signal.aborted && !(told instanceof PosternError)) throw error;
    new Output(terminal, args.includes('--json')).failure(told);
    return exitCodeOf(told);
  }
}

function usage(error: CommanderError): PosternError {
  // Its message repeats what was typed, which may be a secret.
  if (error.code === 'commander.excessArguments') {
    return new PosternError('invalid_request', 'There are more arguments than this command takes', {
      detail: 'See its --help. Secrets are never arguments: pipe them in, or name a file.',
    });
  }
  return new PosternError('invalid_request', error.message.replace(/^error: /, '').replaceAll('\n', ' '), { detail: 'See --help.' });
}
