import type { Writable } from 'node:stream';
import { describeError } from '#broker/log.ts';
import type { PluginLog } from '#broker/plugin/backend.ts';

type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
type Fields = Readonly<Record<string, unknown>>;

/** Vault reads 64 KiB a line, and takes a longer one for text without a level. */
const MAX_LINE = 32 * 1024;

/**
 * Log lines in the JSON of hclog, which Vault reads from our stderr and writes to its own log at their level.
 * Errors among the fields are told by their class and place only: those of packages carry requests.
 */
export class HclogLines implements PluginLog {
  readonly #stderr: Writable;
  readonly #now: () => number;

  constructor(stderr: Writable, now: () => number = Date.now) {
    this.#stderr = stderr;
    this.#now = now;
  }

  trace = (message: string, fields?: Fields): void => this.#write('trace', message, fields);
  debug = (message: string, fields?: Fields): void => this.#write('debug', message, fields);
  info = (message: string, fields?: Fields): void => this.#write('info', message, fields);
  warn = (message: string, fields?: Fields): void => this.#write('warn', message, fields);
  error = (message: string, fields?: Fields): void => this.#write('error', message, fields);

  #write(level: Level, message: string, fields: Fields = {}): void {
    if (!this.#stderr.writable) return;
    const head = {
      '@level': level,
      '@message': message,
      // It wants exactly six fractional digits.
      '@timestamp': new Date(this.#now()).toISOString().replace('Z', '000Z'),
    };
    let line = textOf({ ...fieldsOf(fields), ...head });
    if (line.length > MAX_LINE) line = textOf({ ...head, '@message': head['@message'].slice(0, MAX_LINE / 8), shortened: true });
    this.#stderr.write(`${line}\n`);
  }
}

/** Names that begin with `@` are hclog's own. */
function fieldsOf(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith('@')));
}

function textOf(line: Fields): string {
  try {
    return JSON.stringify(line, (_name, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value instanceof Error ? describeError(value) : value,
    );
  } catch {
    // A ring, or a toJSON that throws: the message is worth more than its fields.
    return JSON.stringify({ '@level': line['@level'], '@message': line['@message'], '@timestamp': line['@timestamp'] });
  }
}
