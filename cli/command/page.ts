import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';

export interface PageOptions {
  limit?: number;
  after?: string;
}

/** A list in pages, as those of the admin API: what comes after a position, in the list's own order. */
export function addPage(command: Command, position: string): Command {
  return command.option('--limit <number>', 'no more than so many', most).option('--after <id>', position);
}

function most(text: string): number {
  const value = Number(text);
  if (!/^\d{1,7}$/.test(text) || value < 1) throw new InvalidArgumentError('It is a number from 1 on.');
  return value;
}
