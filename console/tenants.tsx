import { useEffect, useId, useState } from 'preact/hooks';
import type { AdminApi, Tenant } from './api.ts';
import { Trouble, Waiting, useLoaded } from './loading.tsx';
import { hrefOf } from './route.ts';
import { Time } from './time.tsx';

/** Between the last keystroke and the search, ms. */
const PAUSE = 250;

export function Tenants({ api }: { api: AdminApi }) {
  const [text, setText] = useState('');
  const [search, setSearch] = useState('');
  const [more, setMore] = useState<{ search: string; tenants: Tenant[]; next: string | null }>();
  const [error, setError] = useState<unknown>();
  const field = useId();
  useEffect(() => {
    const timer = setTimeout(() => setSearch(text.trim().toLowerCase()), PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
  const first = useLoaded(`tenants ${search}`, () => api.tenants(search));
  const further = more?.search === search ? more : undefined;
  const tenants = [...(first.value?.items ?? []), ...(further?.tenants ?? [])];
  const next = further === undefined ? (first.value?.next ?? null) : further.next;
  const goOn = async (cursor: string): Promise<void> => {
    setError(undefined);
    await api
      .tenants(search, cursor)
      .then((page) => setMore({ search, tenants: [...(further?.tenants ?? []), ...page.items], next: page.next }), setError);
  };
  return (
    <section aria-labelledby="tenants">
      <div class="heading">
        <h1 id="tenants">Tenants</h1>
        <p class="search">
          <label for={field}>Search</label>
          <input id={field} type="search" value={text} autocomplete="off" onInput={(event) => setText(event.currentTarget.value)} />
        </p>
      </div>
      {first.error !== undefined && <Trouble error={first.error} />}
      {first.busy && <Waiting what="tenants" />}
      {first.value !== undefined && tenants.length === 0 && (
        <p class="faint" role="status">
          {search === ''
            ? 'There is no tenant yet: `postern tenant create`, or Terraform, makes one.'
            : `No tenant's name contains "${search}".`}
        </p>
      )}
      {tenants.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Tenant</th>
              <th scope="col">State</th>
              <th scope="col">APIs</th>
              <th scope="col">Last used</th>
            </tr>
          </thead>
          <tbody>
            {tenants.map((tenant) => (
              <tr key={tenant.tenant}>
                <th scope="row" data-label="Tenant">
                  <a href={hrefOf({ page: 'tenant', tenant: tenant.tenant })}>{tenant.tenant}</a>
                </th>
                <td data-label="State">
                  <span class={`state ${tenant.state}`}>{tenant.state}</span>
                </td>
                <td data-label="APIs">{tenant.grants.map(({ api: name }) => name).join(', ') || <span class="faint">none</span>}</td>
                <td data-label="Last used">
                  <Time iso={tenant.last_used_at} none="not lately" />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {error !== undefined && <Trouble error={error} />}
      {next !== null && <button onClick={() => void goOn(next)}>Show more</button>}
    </section>
  );
}
