import { CredentialFile } from './credential-file.ts';
import { PosternError } from './error.ts';

/** The ways in which the broker logs in to Vault itself: values of POSTERN_VAULT_AUTH. */
export const VAULT_AUTHS = ['approle', 'kubernetes', 'jwt', 'token-file'] as const;

/** Names in Vault that the settings hold. */
export interface AuthNames {
  readonly POSTERN_BROKER_APPROLE_MOUNT: string;
  readonly POSTERN_BROKER_KUBERNETES_MOUNT: string;
  readonly POSTERN_BROKER_JWT_MOUNT: string;
  readonly POSTERN_BROKER_ROLE: string;
}

/** A credential from the environment never changes; one in a file is read at each use. */
export type GivenCredential = string | CredentialFile;

export type VaultAuth =
  | {
      readonly method: 'approle';
      readonly mount: string;
      readonly roleId: string;
      /** The secret_id, or a response-wrapping token that holds it and can be opened once. */
      readonly secretId: Readonly<{ from: GivenCredential; variable: string; wrapped: boolean }>;
    }
  | { readonly method: 'kubernetes' | 'jwt'; readonly mount: string; readonly role: string; readonly jwt: CredentialFile }
  | { readonly method: 'token-file'; readonly token: CredentialFile };

const SECRET_IDS = ['POSTERN_SECRET_ID', 'POSTERN_SECRET_ID_FILE', 'POSTERN_WRAPPED_SECRET_ID', 'POSTERN_WRAPPED_SECRET_ID_FILE'] as const;

/** Where a pod finds the token of its service account (Kubernetes, "Configure Service Accounts for Pods"). */
const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** What belongs to one method only: set with another, it would be passed over without a word. */
const BELONGS_TO: Readonly<Record<string, readonly (typeof VAULT_AUTHS)[number][]>> = {
  ...Object.fromEntries(['POSTERN_ROLE_ID', ...SECRET_IDS].map((name) => [name, ['approle']])),
  POSTERN_BROKER_JWT_FILE: ['kubernetes', 'jwt'],
  POSTERN_VAULT_TOKEN_FILE: ['token-file'],
};

/**
 * The broker's own identity, as the settings say.
 * @param settings undefined: a fault elsewhere keeps them from being read; those of the identity are looked at all the same
 * @param faults what is wrong joins these
 */
export function vaultAuthOf(
  set: Readonly<Record<string, string>>,
  settings: AuthNames | undefined,
  faults: string[],
): VaultAuth | undefined {
  const method = VAULT_AUTHS.find((one) => one === (set['POSTERN_VAULT_AUTH'] ?? 'approle'));
  // Told by the schema.
  if (method === undefined) return undefined;
  for (const [name, methods] of Object.entries(BELONGS_TO))
    if (set[name] !== undefined && !methods.includes(method))
      faults.push(`${name} is for POSTERN_VAULT_AUTH=${methods.join(' or ')}, but that is ${method}: unset one of the two`);
  switch (method) {
    case 'approle':
      return appRole(set, settings, faults);
    case 'kubernetes':
    case 'jwt': {
      const path = set['POSTERN_BROKER_JWT_FILE'] ?? (method === 'kubernetes' ? SERVICE_ACCOUNT_TOKEN : undefined);
      if (path === undefined) return void faults.push('POSTERN_BROKER_JWT_FILE is missing: POSTERN_VAULT_AUTH=jwt needs it');
      const jwt = new CredentialFile('POSTERN_BROKER_JWT_FILE', path);
      readable(jwt, faults);
      if (settings === undefined) return undefined;
      const { POSTERN_BROKER_KUBERNETES_MOUNT: kubernetes, POSTERN_BROKER_JWT_MOUNT: other, POSTERN_BROKER_ROLE: role } = settings;
      return Object.freeze({ method, mount: method === 'kubernetes' ? kubernetes : other, role, jwt });
    }
    case 'token-file': {
      const path = set['POSTERN_VAULT_TOKEN_FILE'];
      if (path === undefined) return void faults.push('POSTERN_VAULT_TOKEN_FILE is missing: POSTERN_VAULT_AUTH=token-file needs it');
      const token = new CredentialFile('POSTERN_VAULT_TOKEN_FILE', path);
      // An Agent that starts beside the broker writes it a little later.
      readable(token, faults, ['cannot be read (ENOENT)', 'is empty']);
      return Object.freeze({ method, token });
    }
  }
}

function appRole(set: Readonly<Record<string, string>>, settings: AuthNames | undefined, faults: string[]): VaultAuth | undefined {
  const roleId = set['POSTERN_ROLE_ID']?.trim();
  if (!roleId) faults.push('POSTERN_ROLE_ID is missing');
  const given = SECRET_IDS.filter((name) => set[name] !== undefined);
  const [variable] = given;
  if (given.length !== 1 || variable === undefined)
    return void faults.push(`exactly one of ${SECRET_IDS.join(', ')} must be set${given.length > 1 ? `, not ${given.join(' and ')}` : ''}`);
  const value = set[variable]!.trim();
  const from = variable.endsWith('_FILE') ? new CredentialFile(variable, set[variable]!) : value;
  if (from instanceof CredentialFile) readable(from, faults);
  else if (value === '') faults.push(`${variable} is empty`);
  if (settings === undefined || !roleId) return undefined;
  return Object.freeze({
    method: 'approle',
    mount: settings.POSTERN_BROKER_APPROLE_MOUNT,
    roleId,
    secretId: Object.freeze({ from, variable, wrapped: variable.includes('WRAPPED') }),
  });
}

/** @param later faults that may mend themselves after the start */
function readable(file: CredentialFile, faults: string[], later: readonly string[] = []): void {
  try {
    file.read();
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    if (!later.some((one) => error.message.endsWith(one))) faults.push(error.message);
  }
}
