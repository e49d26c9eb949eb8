import { useId, useState } from 'preact/hooks';
import type { AdminApi, IssuedKey, Key, Tenant } from './api.ts';
import { useAttempt } from './attempt.ts';
import { ActionDialog } from './dialog.tsx';
import { IssueKey } from './issue-key.tsx';
import { Listing, usePages } from './loading.tsx';
import { ShownOnce } from './shown-once.tsx';
import { Time } from './time.tsx';

const OVERLAPS: readonly [seconds: number, words: string][] = [
  [86_400, 'a day'],
  [3_600, 'an hour'],
  [0, 'not at all'],
];

type Open = { what: 'issue' } | { what: 'rotate' | 'revoke'; key: Key } | { what: 'shown'; issued: IssuedKey };

interface Props {
  api: AdminApi;
  tenant: Tenant;
  mayManage: boolean;
  announce: (text: string) => void;
  /** Something was changed: what tells of changes is to look again. */
  onChange: () => void;
}

/** A tenant's API keys, and what can be done with them. */
export function Keys({ api, tenant, mayManage, announce, onChange }: Props) {
  const loaded = usePages(`keys ${tenant.tenant}`, (cursor) => api.keys(tenant.tenant, cursor));
  const [open, setOpen] = useState<Open>();
  const close = (): void => setOpen(undefined);
  const shown = (issued: IssuedKey): void => {
    setOpen({ what: 'shown', issued });
    loaded.reload();
    onChange();
  };
  const revoked = (key: Key): void => {
    close();
    announce(`${labelOf(key)} is revoked: every broker refuses it within 2 s.`);
    loaded.reload();
    onChange();
  };
  return (
    <section aria-labelledby="keys">
      <div class="heading">
        <h2 id="keys">API keys</h2>
        {mayManage && tenant.state === 'active' && (
          <button class="main" onClick={() => setOpen({ what: 'issue' })}>
            Issue a key
          </button>
        )}
      </div>
      <Listing
        pages={loaded}
        what="its keys"
        empty={<p class="faint">It has no keys. It may still log in with its client_id and a secret_id.</p>}
      >
        {(keys) => (
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">State</th>
                <th scope="col">Scopes</th>
                <th scope="col">Issued by</th>
                <th scope="col">Last used</th>
                <th scope="col">Ends</th>
                {mayManage && <th scope="col">Change</th>}
              </tr>
            </thead>
            <tbody>
              {keys.map((key) => (
                <tr key={key.key_id}>
                  <th scope="row" data-label="Name">
                    {key.name ?? <span class="faint">no name</span>}
                    <small>{key.key_id}</small>
                    {key.owner !== null && <small>of {key.owner}</small>}
                  </th>
                  <td data-label="State">
                    <span class={`state ${key.state}`}>{key.state}</span>
                  </td>
                  <td data-label="Scopes">{key.scopes === null ? <span class="faint">all</span> : key.scopes.join(' ')}</td>
                  <td data-label="Issued by">{key.issued_by ?? <span class="faint">unknown</span>}</td>
                  <td data-label="Last used">
                    <Time iso={key.last_used_at} none="never" />
                  </td>
                  <td data-label="Ends">
                    <Time iso={key.expires_at} none="when revoked" />
                  </td>
                  {mayManage && (
                    <td data-label="Change">
                      <div class="buttons">
                        {key.state === 'active' && (
                          <button aria-label={`Rotate ${labelOf(key)}`} onClick={() => setOpen({ what: 'rotate', key })}>
                            Rotate
                          </button>
                        )}
                        <button class="grave" aria-label={`Revoke ${labelOf(key)}`} onClick={() => setOpen({ what: 'revoke', key })}>
                          Revoke
                        </button>
                      </div>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Listing>
      {open?.what === 'issue' && <IssueKey api={api} tenant={tenant} onIssued={shown} onClose={close} />}
      {open?.what === 'shown' && <ShownOnce issued={open.issued} onClose={close} />}
      {open?.what === 'rotate' && <RotateKey api={api} tenant={tenant} old={open.key} onIssued={shown} onClose={close} />}
      {open?.what === 'revoke' && (
        <ActionDialog
          title={`Revoke ${labelOf(open.key)}?`}
          verb="Revoke it"
          grave
          act={() => api.revoke(tenant.tenant, open.key.key_id).then(() => revoked(open.key))}
          onClose={close}
        >
          <p>Every broker refuses it within 2 s, for good. {livesOn(tenant)}</p>
        </ActionDialog>
      )}
    </section>
  );
}

interface RotateProps {
  api: AdminApi;
  tenant: Tenant;
  old: Key;
  onIssued: (issued: IssuedKey) => void;
  onClose: () => void;
}

function RotateKey({ api, tenant, old, onIssued, onClose }: RotateProps) {
  const [overlap, setOverlap] = useState(86_400);
  const attempt = useAttempt(overlap);
  const field = useId();
  return (
    <ActionDialog
      title={`Rotate ${labelOf(old)}`}
      verb="Issue its successor"
      act={async () => onIssued(await api.rotate(tenant.tenant, old.key_id, overlap, attempt))}
      onClose={onClose}
    >
      <p>A new key with the same name, scopes and life is issued.</p>
      <p>
        <label for={field}>The old one goes on for</label>
        <select id={field} value={overlap} onChange={(event) => setOverlap(Number(event.currentTarget.value))}>
          {OVERLAPS.map(([seconds, words]) => (
            <option value={seconds}>{words}</option>
          ))}
        </select>
      </p>
    </ActionDialog>
  );
}

function labelOf(key: Key): string {
  return key.name ?? key.key_id;
}

/** What a revocation can't take back, as docs/revocation.md has it. */
export function livesOn(tenant: Tenant): string {
  const longest = Math.max(0, ...tenant.lives_on.map(({ seconds }) => seconds));
  if (longest === 0) return '';
  return `Access tokens handed out before still open services that verify by key set alone, for up to ${duration(longest)}.`;
}

function duration(seconds: number): string {
  if (seconds >= 7_200) return `${Math.round(seconds / 3_600)} hours`;
  return seconds >= 120 ? `${Math.round(seconds / 60)} minutes` : `${seconds} seconds`;
}
