import { Command } from 'commander';
import type { VaultAccess } from '#broker/operator/access.ts';
import { Output } from '#cli/output.ts';
import type { Terminal } from '#cli/output.ts';
import type { GlobalOptions } from './settings.ts';

/** One invocation of a command. */
export interface Call<Options = object> {
  readonly options: Options & GlobalOptions;
  readonly output: Output;
  readonly terminal: Terminal;
  /** The process ends with this code where nothing is thrown. */
  readonly end: (code: number) => void;
}

export interface VaultCall<Options = object> extends Call<Options> {
  readonly access: VaultAccess;
}

/** Commander hands over the arguments, then the command's own options, then the command. */
type Action<Arguments extends unknown[]> = (...all: [...Arguments, unknown, Command]) => Promise<void>;

/** What every command is made with. */
export class Context {
  readonly terminal: Terminal;
  exitCode = 0;

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  /** A command with its description and with examples in its help. */
  command(name: string, description: string, examples: readonly (readonly [line: string, comment: string])[] = []): Command {
    const command = new Command(name).description(description);
    if (examples.length === 0) return command;
    const lines = examples.map(([line, comment]) => `  # ${comment}\n  ${line}`);
    return command.addHelpText(
      'after',
      `\nExamples:\n${lines.join('\n')}\n\nOptions of every command (--json, --vault-addr, …) and exit codes: postern --help`,
    );
  }

  /** Turns work into commander's action. The arguments come after the call. */
  action<Options, Arguments extends unknown[] = []>(work: (call: Call<Options>, ...args: Arguments) => Promise<void>): Action<Arguments> {
    return async (...all) => {
      const command = all.at(-1) as Command;
      const options = command.optsWithGlobals<Options & GlobalOptions>();
      const output = new Output(this.terminal, options.json === true);
      await work(
        { options, output, terminal: this.terminal, end: (code) => (this.exitCode = code) },
        ...(all.slice(0, -2) as unknown as Arguments),
      );
    };
  }

  /** The same with the operator's way into Vault, closed afterwards. */
  vaultAction<Options, Arguments extends unknown[] = []>(
    work: (call: VaultCall<Options>, ...args: Arguments) => Promise<void>,
  ): Action<Arguments> {
    return this.action<Options, Arguments>(async (call, ...args) => {
      // Loaded only here: help needs none of it.
      const { vaultAccess } = await import('./vault-access.ts');
      const { access, close } = vaultAccess(call.options, call.terminal);
      try {
        await work({ ...call, access }, ...args);
      } finally {
        await close();
      }
    });
  }
}
