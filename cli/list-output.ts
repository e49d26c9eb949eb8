import { once } from 'node:events';

/** Where a list goes. */
export interface ListTarget {
  readonly stdout: NodeJS.WriteStream;
  readonly json: boolean;
  /** The name of the list in the JSON document. */
  readonly name: string;
  /** Of a terminal: takes all rows at once, since columns are as wide as their widest cell. */
  readonly table: (rows: readonly (readonly string[])[]) => string;
  /** Called before what a terminal shows: its line of progress goes. */
  readonly clear: () => void;
}

/**
 * A result of many parts, of which only what a terminal's table needs is held: each is written as it comes, and no faster than it is taken.
 * The JSON is what one `result` would have been.
 */
export class ListOutput {
  readonly #target: ListTarget;
  readonly #rows: (readonly string[])[] = [];
  #count = 0;

  constructor(target: ListTarget) {
    this.#target = target;
  }

  async add(one: unknown, cells: () => readonly string[]): Promise<void> {
    const { json, name, stdout } = this.#target;
    this.#count += 1;
    if (json) {
      // Not before there is something: a command that fails at once has no result.
      const before = this.#count > 1 ? ',' : `{${this.#people ? '\n  ' : ''}${JSON.stringify(name)}:${this.#people ? ' [' : '['}`;
      await this.#write(before + (this.#people ? `\n    ${indented(JSON.stringify(one, null, 2), 4)}` : JSON.stringify(one)));
    } else if (stdout.isTTY === true) this.#rows.push(cells());
    else await this.#write(`${cells().join('\t')}\n`);
  }

  /** @param rest what the JSON document says beside the list */
  async end(rest: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const { json, name, table, stdout } = this.#target;
    if (json) {
      const others = Object.entries(rest);
      if (this.#count === 0) {
        await this.#write(`${JSON.stringify({ [name]: [], ...rest }, null, this.#people ? 2 : undefined)}\n`);
        return;
      }
      const told = others.map(([key, value]) =>
        this.#people
          ? `,\n  ${JSON.stringify(key)}: ${indented(JSON.stringify(value, null, 2), 2)}`
          : `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
      );
      await this.#write(`${this.#people ? '\n  ]' : ']'}${told.join('')}${this.#people ? '\n}' : '}'}\n`);
    } else if (stdout.isTTY === true) {
      const text = table(this.#rows);
      await this.#write(text === '' ? '' : `${text}\n`);
    }
  }

  get #people(): boolean {
    return this.#target.stdout.isTTY === true;
  }

  async #write(text: string): Promise<void> {
    const { stdout, clear } = this.#target;
    if (this.#people) clear();
    if (text !== '' && !stdout.write(text)) await once(stdout, 'drain');
  }
}

const indented = (text: string, by: number): string => text.replaceAll('\n', `\n${' '.repeat(by)}`);
