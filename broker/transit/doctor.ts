import { createPublicKey } from 'node:crypto';
import { APPLY, failed, ok, said, skipped, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { SourceChecks, SourceView } from '#broker/doctor/source-checks.ts';
import { PosternError } from '#broker/error.ts';

export const transitChecks: Omit<SourceChecks, 'name'> = {
  inVault: [{ title: 'transit: signing key', inspect: inspectKey }],
  published: compareKeys,
};

async function inspectKey(view: SourceView): Promise<Check[]> {
  const title = 'transit: signing key';
  const key = await readKey(view);
  if (!key) return [failed(title, `there is no key ${view.mounts.transitKey}`, APPLY)];
  const type = said(key['type']);
  if (!/^rsa-(2048|3072|4096)$/.test(type))
    return [failed(title, `is of type ${type}; tokens are signed with RS256`, 'Make an RSA key of another name and set transit_key.')];
  const checks = [ok(title, `${type}, version ${said(key['latest_version'])}`)];
  if (key['exportable'] === true || key['allow_plaintext_backup'] === true)
    checks.push(
      warning('transit: key stays in Vault', 'the private key can be exported', "Make a new key that isn't: Vault can't take that back."),
    );
  return checks;
}

/** Whether Vault's newest signing key is among those that the broker publishes. */
async function compareKeys(title: string, keys: readonly Readonly<Record<string, unknown>>[], view: SourceView): Promise<Check> {
  const key = await readKey(view).catch((error: unknown) => {
    if (error instanceof PosternError) return undefined;
    throw error;
  });
  const versions = (key?.['keys'] ?? {}) as Record<string, { public_key?: unknown }>;
  const newest = versions[String(key?.['latest_version'])]?.public_key;
  if (typeof newest !== 'string') return skipped(title, `${keys.length} keys; not compared with Vault's, which your token may not read`);
  const { n } = createPublicKey(newest).export({ format: 'jwk' });
  if (!keys.some((one) => one['n'] === n))
    return failed(
      title,
      "Vault's newest signing key is not in it",
      'Does this broker use the same Vault and transit key? After a rotation it appears within a minute.',
    );
  return ok(title, `${keys.length} key${keys.length === 1 ? '' : 's'}, Vault's newest among them`);
}

function readKey({ read, mounts: { transit, transitKey } }: SourceView): Promise<Readonly<Record<string, unknown>> | undefined> {
  return read('read the signing key', `${transit}/keys/${transitKey}`);
}
