import { Argument } from 'commander';
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { SHELLS } from './completion/script.ts';
import type { Shell } from './completion/script.ts';
import { wordsOf } from './completion/words.ts';

export function completionCommand(context: Context): Command {
  const command = context.command('completion', 'a script with which your shell completes commands and options: bash, zsh or fish', [
    ['source <(postern completion bash)', 'in ~/.bashrc'],
    ['source <(postern completion zsh)', 'in ~/.zshrc, after compinit'],
    ['postern completion fish > ~/.config/fish/completions/postern.fish', 'once, and after an upgrade'],
  ]);
  return command.addArgument(new Argument('<shell>', 'which').choices(Object.keys(SHELLS))).action(
    context.action<object, [Shell]>(async ({ output }, shell) => {
      const script = SHELLS[shell](wordsOf(command.parent ?? command));
      output.result({ shell, script }, script);
    }),
  );
}
