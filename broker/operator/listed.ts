import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from './access.ts';

/**
 * What lies in a folder of documents, folders without their slash. A policy of before may not know the list.
 * @returns `otherwise` where Vault refuses it
 */
export async function listedOr<T>(access: VaultAccess, folder: string, otherwise: T): Promise<readonly string[] | T> {
  return access
    .call(`list ${folder}`, ({ documents, as }) => documents.list(folder, as))
    .then((names) => names.map((name) => name.replace(/\/$/, '')))
    .catch((error: unknown) => {
      if (error instanceof PosternError && error.code === 'access_denied') return otherwise;
      throw error;
    });
}
