import { useState } from 'preact/hooks';
import type { AdminApi, Tenant } from './api.ts';
import { Changes } from './changes.tsx';
import { ActionDialog } from './dialog.tsx';
import { Keys, livesOn } from './keys.tsx';
import { Trusts } from './trusts.tsx';
import { Trouble, Waiting, useLoaded } from './loading.tsx';
import { Time } from './time.tsx';

interface Props {
  api: AdminApi;
  name: string;
  permissions: ReadonlySet<string>;
  announce: (text: string) => void;
}

export function TenantPage({ api, name, permissions, announce }: Props) {
  const loaded = useLoaded(`tenant ${name}`, () => api.tenant(name));
  const [changes, setChanges] = useState(0);
  const [asking, setAsking] = useState<'disable' | 'enable'>();
  const close = (): void => setAsking(undefined);
  const onChange = (): void => setChanges((count) => count + 1);
  const changed = (text: string): void => {
    close();
    announce(text);
    loaded.reload();
    onChange();
  };
  const tenant = loaded.value;
  return (
    <>
      <div class="heading">
        <h1>{name}</h1>
        {tenant !== undefined && <span class={`state ${tenant.state}`}>{tenant.state}</span>}
        {tenant !== undefined && permissions.has('manage:tenants') && tenant.state !== 'incomplete' && (
          <button
            class={tenant.state === 'active' ? 'grave' : 'main'}
            onClick={() => setAsking(tenant.state === 'active' ? 'disable' : 'enable')}
          >
            {tenant.state === 'active' ? 'Disable' : 'Enable'}
          </button>
        )}
      </div>
      {loaded.error !== undefined && <Trouble error={loaded.error} again={loaded.reload} />}
      {loaded.busy && tenant === undefined && <Waiting what={name} />}
      {tenant !== undefined && (
        <>
          {tenant.problems.map((problem) => (
            <p class="trouble">{problem}</p>
          ))}
          <Facts tenant={tenant} />
          {permissions.has('read:keys') && (
            <Keys api={api} tenant={tenant} mayManage={permissions.has('manage:keys')} announce={announce} onChange={onChange} />
          )}
          <Trusts api={api} tenant={tenant} />
          <Changes key={changes} api={api} tenant={name} />
        </>
      )}
      {tenant !== undefined && asking === 'disable' && (
        <ActionDialog
          title={`Disable ${name}?`}
          verb="Disable it"
          grave
          typed={name}
          act={() => api.disable(name).then(() => changed(`${name} is disabled: every broker refuses it.`))}
          onClose={close}
        >
          <p>All of its processes stop getting tokens within 2 s. {livesOn(tenant)} Its keys and grants stay.</p>
        </ActionDialog>
      )}
      {asking === 'enable' && (
        <ActionDialog
          title={`Enable ${name}?`}
          verb="Enable it"
          act={() => api.enable(name).then(() => changed(`${name} is enabled.`))}
          onClose={close}
        >
          <p>Its credentials and keys are good again.</p>
        </ActionDialog>
      )}
    </>
  );
}

function Facts({ tenant }: { tenant: Tenant }) {
  return (
    <section aria-labelledby="grants">
      <h2 id="grants">What it may have</h2>
      {tenant.grants.length === 0 && <p class="faint">Nothing: it has no grant.</p>}
      <dl class="facts">
        {tenant.grants.map(({ api, scopes }) => (
          <div key={api}>
            <dt>
              {api}
              {tenant.default_api === api && <small> (where a request names no API)</small>}
            </dt>
            <dd>
              {scopes.map((scope) => (
                <code>{scope}</code>
              ))}
            </dd>
          </div>
        ))}
        <div>
          <dt>client_id</dt>
          <dd>{tenant.role_id === null ? <span class="faint">none</span> : <code>{tenant.role_id}</code>}</dd>
        </div>
        {tenant.organization !== null && (
          <div>
            <dt>Auth0 organization</dt>
            <dd>
              <code>{tenant.organization}</code>
            </dd>
          </div>
        )}
        <div>
          <dt>Used from</dt>
          <dd>{tenant.cidrs.length === 0 ? 'anywhere' : tenant.cidrs.map((cidr) => <code>{cidr}</code>)}</dd>
        </div>
        <div>
          <dt>Last used</dt>
          <dd>
            <Time iso={tenant.last_used_at} none="not lately" />
          </dd>
        </div>
      </dl>
    </section>
  );
}
