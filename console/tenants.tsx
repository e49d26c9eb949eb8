import { useEffect, useId, useState } from 'preact/hooks';
import type { AdminApi } from './api.ts';
import { Listing, usePages } from './loading.tsx';
import { hrefOf } from './route.ts';
import { Time } from './time.tsx';

/** Between the last keystroke and the search, ms. */
const PAUSE = 250;

export function Tenants({ api }: { api: AdminApi }) {
  const [text, setText] = useState('');
  const [search, setSearch] = useState('');
  const field = useId();
  useEffect(() => {
    const timer = setTimeout(() => setSearch(text.trim().toLowerCase()), PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
  const list = usePages(`tenants ${search}`, (cursor) => api.tenants(search, cursor));
  return (
    <section aria-labelledby="tenants">
      <div class="heading">
        <h1 id="tenants">Tenants</h1>
        <p class="search">
          <label for={field}>Search</label>
          <input id={field} type="search" value={text} autocomplete="off" onInput={(event) => setText(event.currentTarget.value)} />
        </p>
      </div>
      <Listing
        pages={list}
        what="tenants"
        empty={
          <p class="faint" role="status">
            {search === ''
              ? 'There is no tenant yet: `postern tenant create`, or Terraform, makes one.'
              : `No tenant's name contains "${search}".`}
          </p>
        }
      >
        {(tenants) => (
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
      </Listing>
    </section>
  );
}
