import { AppRoleCredential } from '#broker/credential/approle.ts';

export function credentialOf(clientId: string, secretId: string): AppRoleCredential {
  const credential = AppRoleCredential.of(clientId, secretId);
  if (credential === undefined) throw new Error(`no credential: ${clientId}`);
  return credential;
}
