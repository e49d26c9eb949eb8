import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { readSecret } from '#cli/command/secret-input.ts';
import { tableInput } from '#cli/command/tenant/table-input.ts';
import type { Output, Terminal } from '#cli/output.ts';

const entry = z.object({ client_id: z.string().min(1), client_secret: z.string().min(1).max(1_024) });

/**
 * client_secrets of old applications by their client_id: of one application the secret alone, of several one JSON document a line.
 * @throws {PosternError} invalid_request, never with anything that the input holds
 */
export async function oldSecrets(
  terminal: Terminal,
  output: Output,
  { file = '-', clientId }: { file: string | undefined; clientId: string | undefined },
): Promise<ReadonlyMap<string, string>> {
  if (file !== '-') await requirePrivate(file);
  if (clientId !== undefined) return new Map([[clientId, await readSecret(terminal, output, `client_secret of ${clientId}`, file)]]);
  const text = new TextDecoder().decode(await tableInput(terminal, file));
  const secrets = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const parsed = entry.safeParse(json(line));
    if (!parsed.success)
      throw new PosternError('invalid_request', `Line ${index + 1} of the secrets is no {"client_id": "…", "client_secret": "…"}`, {
        detail: 'One JSON document a line; for one application name it, and give its secret alone.',
      });
    secrets.set(parsed.data.client_id, parsed.data.client_secret);
  }
  if (secrets.size === 0) throw new PosternError('invalid_request', 'No client_secret was given', { detail: 'See --secret-file.' });
  return secrets;
}

function json(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** @throws {PosternError} invalid_request */
async function requirePrivate(file: string): Promise<void> {
  const status = await stat(file).catch((error: unknown) => {
    throw new PosternError('invalid_request', `${file} can't be read (${(error as NodeJS.ErrnoException).code})`);
  });
  // A pipe of the shell, `<(…)`, is nobody else's.
  if (status.isFile() && (status.mode & 0o077) !== 0)
    throw new PosternError('invalid_request', `${file} holds secrets, and others on this machine may read it`, {
      detail: `Run: chmod 600 ${file}`,
    });
}
