import { readFile } from 'node:fs/promises';
import { APPLY, failed, ok } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { View } from '#broker/doctor/view.ts';

const KINDS = ['tenant', 'workload', 'broker', 'operator', 'auditor'] as const;
/** Put in by what bundles the sources: the templates by kind. */
declare const POSTERN_POLICIES: Readonly<Record<string, string>> | undefined;

/** Whether each policy is as this version's Terraform writes it. */
export const policies: Inspection = {
  title: 'policies',
  async inspect(view) {
    const { mounts, read } = view;
    const names = await namesOf(view);
    const checks: Check[] = [];
    for (const kind of KINDS) {
      const policy = `${mounts.policyPrefix}${kind}`;
      const title = `policy: ${policy}`;
      const text = (await read('read the policies', `sys/policies/acl/${policy}`))?.['policy'];
      const template = await templateOf(kind);
      if (typeof text !== 'string') checks.push(failed(title, 'is not there', APPLY));
      else if (template === undefined) checks.push(ok(title, 'is there (not compared)'));
      else if (bare(text) === bare(render(template, names))) checks.push(ok(title, 'as vault-policies/ says'));
      else
        checks.push(
          failed(
            title,
            `is not as vault-policies/${kind}.hcl says`,
            `${APPLY} Somebody changed it, or this postern is of another version.`,
          ),
        );
    }
    return checks;
  },
};

async function templateOf(kind: string): Promise<string | undefined> {
  if (typeof POSTERN_POLICIES === 'object') return POSTERN_POLICIES[kind];
  return readFile(new URL(`../../../vault-policies/${kind}.hcl`, import.meta.url), 'utf8').catch(() => undefined);
}

/** What Terraform's templatefile fills in. */
async function namesOf({ auth, mounts }: View): Promise<Readonly<Record<string, string>>> {
  return {
    ...Object.fromEntries(Object.entries(mounts).map(([name, path]) => [snakeCase(name), path])),
    approle_accessor: (await auth())?.get(mounts.approle)?.accessor ?? '',
    tenant_policy: `${mounts.policyPrefix}tenant`,
  };
}

/** `brokerApprole` -> `broker_approle` */
function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function render(template: string, names: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => names[name] ?? whole);
}

/** Without comments and spacing, which don't count. */
function bare(text: string): string {
  return text
    .replaceAll(/^\s*#.*$/gm, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}
