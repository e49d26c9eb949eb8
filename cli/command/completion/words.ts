import type { Command } from 'commander';

/** What may come next, by the commands so far: '' for none, `tenant`, `tenant create`. */
export type Words = ReadonlyMap<string, Place>;

export interface Place {
  readonly commands: readonly Word[];
  readonly options: readonly Option[];
}

export interface Word {
  readonly name: string;
  readonly description: string;
}

export interface Option extends Word {
  /** Whether a value follows; of which kind, where that can be completed. */
  readonly value: 'none' | 'any' | 'file' | readonly string[];
}

export function wordsOf(program: Command): Words {
  const words = new Map<string, Place>();
  const everywhere = optionsOf(program);
  const see = (command: Command, path: readonly string[]): void => {
    const commands = command.commands.filter((child) => child.name() !== 'help');
    words.set(path.join(' '), {
      commands: commands.map((child) => ({ name: child.name(), description: plain(child.description()) })),
      options: [
        ...(path.length === 0 ? [] : optionsOf(command)),
        ...everywhere,
        { name: '--help', description: 'show help', value: 'none' },
      ],
    });
    for (const child of commands) see(child, [...path, child.name()]);
  };
  see(program, []);
  return words;
}

function optionsOf(command: Command): Option[] {
  return command.options.flatMap(({ long, description, required, optional, flags, argChoices }) =>
    long === undefined || long === null
      ? []
      : [
          {
            name: long,
            description: plain(description),
            value: argChoices ?? (required || optional ? (/<(file|folder)>/.test(flags) ? 'file' : 'any') : 'none'),
          },
        ],
  );
}

/** Up to the first bracket or semicolon: a completion has one line. */
function plain(description: string): string {
  return description.split(/ \[\$|;| \(/)[0]?.trim() ?? '';
}
