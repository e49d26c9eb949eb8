import { PosternError } from '#broker/error.ts';
import { failed, skipped } from './check.ts';
import type { Check } from './check.ts';
import type { View } from './view.ts';

/** One thing to look at. A new one is a file and a line in `inspections.ts`. @typeParam V what it sees */
export interface Inspection<V = View> {
  /** Names the check where Vault refuses to show it or the look fails. */
  readonly title: string;
  /** Where it fails, nothing more is looked at: everything else would say the same. */
  readonly decides?: true;
  /** @throws {PosternError} with the remedy in its detail */
  readonly inspect: (view: V) => Promise<readonly Check[]>;
}

/** A check that Vault refuses is skipped, one that throws has failed; neither stops the others. */
export async function look<V>({ title, inspect }: Inspection<V>, view: V): Promise<readonly Check[]> {
  try {
    return await inspect(view);
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    const mayNotLook = error.code === 'access_denied' && !title.startsWith('vault:');
    return [
      mayNotLook
        ? skipped(title, 'your token may not look', "Look with an auditor's or an administrator's token.")
        : failed(title, error.message, error.detail ?? ''),
    ];
  }
}
