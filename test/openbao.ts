/**
 * Of `test/integration`, what the project `openbao` runs again on OpenBao in every `make test`: whatever asks something of the server that
 * another product may answer otherwise, once. `POSTERN_TEST_OPENBAO=all` runs all the others there too.
 */
export const ON_OPENBAO = [
  'api-key-address',
  'assertion',
  'cli',
  'cli-doctor',
  'doors',
  'exchange',
  'openbao',
  'operator-limits',
  'plugin-lifecycle',
  'policy',
  'revocation-log',
  'terraform',
  'token-exchange',
  'verify',
].map(file);

/** What does not run there even then, with the reason. */
export const NOT_ON_OPENBAO: Readonly<Record<string, string>> = {
  [file('docker-engine')]: 'is about Docker, not about the server',
  [file('fixture')]: 'is about the tests themselves, and the container that Vault runs in',
};

function file(name: string): string {
  return `test/integration/${name}.test.ts`;
}
