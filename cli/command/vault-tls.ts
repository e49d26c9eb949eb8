import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PosternError } from '#broker/error.ts';
import { certificatesOf, privateKeysOf } from '#broker/pem.ts';
import type { VaultTls } from '#broker/vault/transport.ts';
import type { Terminal } from '#cli/output.ts';

/** As Go's strconv.ParseBool, by which Vault's CLI reads VAULT_SKIP_VERIFY. */
const TRUE = /^(1|t|T|TRUE|true|True)$/;
const FALSE = /^(0|f|F|FALSE|false|False)?$/;

/**
 * What the environment says about TLS to Vault, as Vault's own CLI reads it ("Vault CLI: environment variables"): VAULT_CACERT before
 * VAULT_CACERT_BYTES before VAULT_CAPATH, VAULT_TLS_SERVER_NAME, VAULT_SKIP_VERIFY, VAULT_CLIENT_CERT with VAULT_CLIENT_KEY.
 * @param caFile of --cacert or VAULT_CACERT
 * @throws {PosternError} invalid_request
 */
export function vaultTls(env: Terminal['env'], caFile: string | undefined): VaultTls {
  const skip = env['VAULT_SKIP_VERIFY'] ?? '';
  if (!TRUE.test(skip) && !FALSE.test(skip)) throw wrong('VAULT_SKIP_VERIFY is neither true nor false');
  return {
    authorities: authoritiesOf(env, caFile),
    serverName: env['VAULT_TLS_SERVER_NAME'] || undefined,
    unverified: TRUE.test(skip),
    client: clientOf(env['VAULT_CLIENT_CERT'], env['VAULT_CLIENT_KEY']),
  };
}

/** @returns PEM; undefined: the system's. @throws {PosternError} invalid_request */
function authoritiesOf(env: Terminal['env'], caFile: string | undefined): string | undefined {
  if (caFile) return certificates(text(caFile, 'The CA file', '--cacert or VAULT_CACERT'), 'The CA file', '--cacert or VAULT_CACERT');
  const bytes = env['VAULT_CACERT_BYTES'];
  if (bytes) return certificates(bytes, 'VAULT_CACERT_BYTES', 'VAULT_CACERT_BYTES');
  const folder = env['VAULT_CAPATH'];
  return folder ? certificates(ofFolder(folder), 'The folder of CAs', 'VAULT_CAPATH') : undefined;
}

/** Every file below it, as Vault's CLI walks it. One that can't be read is a fault; one without a certificate, such as a README, isn't. */
function ofFolder(folder: string): string {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  } catch (error) {
    throw unreadable('The folder of CAs', error, 'VAULT_CAPATH');
  }
  // c_rehash leaves links to the files beside them.
  return entries
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted((one, other) => one.localeCompare(other))
    .map((file) => {
      try {
        return certificatesOf(readFileSync(file, 'utf8'));
      } catch (error) {
        // A link to a folder: Kubernetes mounts its secrets so, and each file a second time.
        if ((error as NodeJS.ErrnoException).code === 'EISDIR') return '';
        throw unreadable('A file in the folder of CAs', error, 'VAULT_CAPATH');
      }
    })
    .join('');
}

function clientOf(cert: string | undefined, key: string | undefined): VaultTls['client'] {
  if (!cert && !key) return undefined;
  if (!cert || !key) throw wrong('VAULT_CLIENT_CERT and VAULT_CLIENT_KEY belong together, and only one of them is set');
  const pem = privateKeysOf(text(key, 'The file of the private key', 'VAULT_CLIENT_KEY'));
  if (pem === '') throw wrong('The file of the private key holds no private key (PEM)', 'VAULT_CLIENT_KEY');
  const shown = "The file of this client's certificate";
  return { cert: certificates(text(cert, shown, 'VAULT_CLIENT_CERT'), shown, 'VAULT_CLIENT_CERT'), key: pem };
}

function text(file: string, what: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(what, error, setting);
  }
}

function certificates(given: string, what: string, setting: string): string {
  const pem = certificatesOf(given);
  if (pem === '') throw wrong(`${what} holds no certificate (PEM)`, setting);
  return pem;
}

function unreadable(what: string, error: unknown, setting: string): PosternError {
  return wrong(`${what} cannot be read (${(error as NodeJS.ErrnoException).code})`, setting);
}

function wrong(message: string, setting?: string): PosternError {
  return new PosternError('invalid_request', message, setting === undefined ? {} : { detail: `See ${setting}.` });
}
