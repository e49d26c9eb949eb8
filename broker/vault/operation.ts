/** What Vault is asked for, as far as it tells calls apart that take more and less time. */
export type VaultOperation = 'login' | 'sign' | 'renew' | 'lookup' | 'read' | 'list' | 'write' | 'delete';

const BY_METHOD: Readonly<Record<string, VaultOperation>> = { GET: 'read', LIST: 'list', POST: 'write', DELETE: 'delete' };

/** @param path without `/v1/` */
export function operationOf(method: string, path: string): VaultOperation {
  if (path.startsWith('auth/')) {
    if (path.endsWith('/login')) return 'login';
    if (path.endsWith('/renew-self')) return 'renew';
    if (/\/lookup(-self)?$/.test(path)) return 'lookup';
  }
  return method === 'POST' && path.includes('/sign/') ? 'sign' : (BY_METHOD[method] ?? 'read');
}
