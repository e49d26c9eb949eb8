import type { AdminApi, Tenant } from './api.ts';
import { Listing, usePages } from './loading.tsx';

/** Which workloads of other issuers are this tenant. They are written by Terraform, the CLI and the admin API. */
export function Trusts({ api, tenant: { tenant } }: { api: AdminApi; tenant: Tenant }) {
  const loaded = usePages(`trusts ${tenant}`, (cursor) => api.trusts(tenant, cursor));
  return (
    <section aria-labelledby="trusts">
      <h2 id="trusts">Trusts</h2>
      <Listing pages={loaded} what="its trusts" empty={<p class="faint">None: no workload without a secret of ours is this tenant.</p>}>
        {(trusts) => (
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Issuer</th>
                <th scope="col">Subject</th>
                <th scope="col">Audience</th>
                <th scope="col">Scopes</th>
              </tr>
            </thead>
            <tbody>
              {trusts.map((trust) => (
                <tr key={trust.name}>
                  <th scope="row" data-label="Name">
                    {trust.name}
                    {trust.managed_by !== null && <small>by {trust.managed_by}</small>}
                    {trust.problem !== null && <small>refused: {trust.problem}</small>}
                  </th>
                  <td data-label="Issuer">{trust.issuer}</td>
                  <td data-label="Subject">{trust.subject ?? trust.subject_pattern}</td>
                  <td data-label="Audience">{trust.audience}</td>
                  <td data-label="Scopes">{trust.scopes === null ? <span class="faint">all</span> : trust.scopes.join(' ')}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Listing>
    </section>
  );
}
