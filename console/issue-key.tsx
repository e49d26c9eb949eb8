import { useId, useState } from 'preact/hooks';
import type { AdminApi, IssuedKey, Tenant } from './api.ts';
import { useAttempt } from './attempt.ts';
import { ActionDialog } from './dialog.tsx';

const DAY = 86_400;
const LIVES: readonly [seconds: number, words: string][] = [
  [30 * DAY, '30 days'],
  [90 * DAY, '90 days'],
  [365 * DAY, 'a year'],
  [0, 'until it is revoked'],
];

interface Props {
  api: AdminApi;
  tenant: Tenant;
  onIssued: (issued: IssuedKey) => void;
  onClose: () => void;
}

export function IssueKey({ api, tenant, onIssued, onClose }: Props) {
  const [name, setName] = useState('');
  const [ttl, setTtl] = useState(90 * DAY);
  const [narrowed, setNarrowed] = useState<string[]>([]);
  const nameField = useId();
  const lifeField = useId();
  const scopes = [...new Set(tenant.grants.flatMap((grant) => grant.scopes))].sort();
  const toggle = (scope: string): void =>
    setNarrowed((before) => (before.includes(scope) ? before.filter((one) => one !== scope) : [...before, scope]));
  const trimmed = name.trim();
  const wanted = { ttl, ...(trimmed === '' ? {} : { name: trimmed }), ...(narrowed.length === 0 ? {} : { scopes: narrowed.toSorted() }) };
  const attempt = useAttempt(wanted);
  const act = async (): Promise<void> => onIssued(await api.issue(tenant.tenant, wanted, attempt));
  return (
    <ActionDialog title={`A new key for ${tenant.tenant}`} verb="Issue it" act={act} onClose={onClose}>
      <p>
        <label for={nameField}>Name: what it is for</label>
        <input id={nameField} value={name} maxLength={100} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} />
      </p>
      <p>
        <label for={lifeField}>It lives for</label>
        <select id={lifeField} value={ttl} onChange={(event) => setTtl(Number(event.currentTarget.value))}>
          {LIVES.map(([seconds, words]) => (
            <option value={seconds}>{words}</option>
          ))}
        </select>
      </p>
      <fieldset>
        <legend>Narrowed to (none chosen: all that {tenant.tenant} has)</legend>
        {scopes.map((scope) => (
          <label class="choice">
            <input type="checkbox" checked={narrowed.includes(scope)} onChange={() => toggle(scope)} /> <code>{scope}</code>
          </label>
        ))}
      </fieldset>
    </ActionDialog>
  );
}
