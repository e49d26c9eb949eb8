import { ERROR_CODES, PosternError, type ErrorCode } from '#broker/error.ts';
import type { Message } from './messages.ts';
import { REMEDIES, TELLING } from './remedies.ts';

/** Where the message is the remedy. */
const TOLD = 'as it says';

/** Who is told, by where the source lies; the first that fits. */
const AUDIENCES: readonly (readonly [heading: string, who: string, files: RegExp, column: 'exit code' | 'status'])[] = [
  [
    'What commands say',
    '`postern` prints the message, and below it what to do. The admin and self-service APIs say the same.',
    /^(?:cli|broker\/(?:operator|doctor|admin|self)|broker\/auth0\/(?:management|application|people|rotat|inspection))/,
    'exit code',
  ],
  ['What the secrets plugin says', "Vault answers with the message; the reason is in Vault's own log.", /^broker\/plugin/, 'status'],
  [
    'What brokers say',
    'A client is told the message (`error_description`). What an operator should know is in the log line of that request, found by its request id.',
    /^broker\//,
    'status',
  ],
];

/** docs/troubleshooting.md. */
export function page(all: readonly Message[]): string {
  const parts = AUDIENCES.map(([heading, who, , column], at) => {
    const here = all.filter((one) => sayable(one) && AUDIENCES.findIndex(([, , files]) => files.test(one.file)) === at);
    const bySaying = Map.groupBy(here, ({ message, codes }) => JSON.stringify([message, codes]));
    const rows = [...bySaying.values()].map((same) => [
      cell(same[0]?.message ?? ''),
      same[0]?.codes.map((code) => shown(code, column)).join(', ') ?? '',
      [...new Set(same.map((one) => cell(remedyOf(one) ?? '')))]
        .filter((text, _, texts) => text !== TOLD || texts.length === 1)
        .join('<br>or: '),
    ]);
    const order = (text = ''): string => text.replaceAll(/[^a-z]/gi, '').toLowerCase();
    const sorted = rows.sort(([a], [b]) => (order(a) < order(b) ? -1 : 1));
    const table = sorted.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
    return `## ${heading}\n\n${who}\n\n| message | ${column} | what to do |\n| --- | --- | --- |\n${table}\n`;
  });
  return `${HEAD}\n${parts.join('\n')}`;
}

/** Messages that have no remedy. */
export function withoutRemedy(all: readonly Message[]): string[] {
  return [...new Set(all.filter((one) => sayable(one) && remedyOf(one) === undefined).map(({ message }) => message))];
}

/** Remedies for what nothing says any more. */
export function withoutMessage(all: readonly Message[]): string[] {
  const said = new Set(all.map(({ message }) => message));
  return Object.keys(REMEDIES).filter((message) => !said.has(message));
}

const HEAD = `# Troubleshooting, by error message

Every message that the broker, the CLI and the plugin can give, with what to do. Made by \`make generate\` from the source and \`tools/troubleshooting/remedies.ts\`; a
test holds it against both. \`…\` stands for what differs from case to case. Before you look here: \`postern doctor\` tries everything that a
broker needs, and each of its findings says what to mend; \`postern whoami\` says what your own token may.
`;

/** What is only passed on says nothing of its own. */
const sayable = ({ message }: Message): boolean => /[a-z]{2}/i.test(message.replaceAll('…', ''));

function remedyOf({ message, detail, codes }: Message): string | undefined {
  if (detail !== undefined && /[a-z]{3}/i.test(detail)) return detail;
  return REMEDIES[message] ?? (codes.length > 0 && codes.every((code) => TELLING.has(code)) ? TOLD : undefined);
}

function shown(code: string, column: 'exit code' | 'status'): string {
  if (!(ERROR_CODES as readonly string[]).includes(code)) return 'as passed on';
  const error = new PosternError(code as ErrorCode, '');
  return `\`${code}\` ${column === 'status' ? error.status : error.exitCode}`;
}

function cell(text: string): string {
  return text
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}
