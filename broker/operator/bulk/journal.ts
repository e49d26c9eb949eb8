import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { Issuances, issuanceLines, openLocked } from './issuances.ts';

/** A line that names the Vault, and those about credentials. */
const line = z.union([z.strictObject({ import: z.literal(1), vault: z.string() }), ...issuanceLines]);

/** What an import has issued. */
export class Journal extends Issuances {
  /** @param vault its address @throws {PosternError} conflict where it is another Vault's or in use; invalid_request */
  static open(path: string, vault: string): Promise<Journal> {
    return openLocked(path, async (file, lock) => {
      const lines = file.lines.map((one, at) => {
        const parsed = line.safeParse(one);
        if (!parsed.success)
          throw new PosternError('invalid_request', `Line ${at + 1} of ${path} is none of an import's journal`, {
            detail: 'Name another file.',
          });
        return parsed.data;
      });
      const head = lines[0];
      if (head === undefined) await file.append({ import: 1, vault });
      else if (!('import' in head) || head.vault !== vault)
        throw new PosternError('conflict', `${path} is the journal of an import into another Vault`, {
          detail: 'Name another one with --journal, or the Vault that it was for.',
        });
      return new Journal(file, lock, lines);
    });
  }
}
