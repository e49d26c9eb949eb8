import type { AdminApi, Change } from './api.ts';
import { Trouble, Waiting, useLoaded } from './loading.tsx';
import { hrefOf } from './route.ts';
import { Time } from './time.tsx';

/** What was changed lately through this broker: of one tenant, or of all. */
export function Changes({ api, tenant }: { api: AdminApi; tenant?: string }) {
  const loaded = useLoaded(`changes ${tenant ?? ''}`, () => api.changes(tenant));
  const Heading = tenant === undefined ? 'h1' : 'h2';
  return (
    <section aria-labelledby="changes">
      <div class="heading">
        <Heading id="changes">What happened lately</Heading>
        <button onClick={loaded.reload}>Look again</button>
      </div>
      {loaded.error !== undefined && <Trouble error={loaded.error} />}
      {loaded.busy && loaded.value === undefined && <Waiting what="the latest changes" />}
      {loaded.value !== undefined && (
        <>
          <p class="faint">
            Changes through the broker that answers this page, since <Time iso={loaded.value.since} none="its start" />. The audit has them
            all.
          </p>
          {loaded.value.changes.length === 0 && <p class="faint">Nothing.</p>}
          <ol class="changes">
            {loaded.value.changes.map((change) => (
              <li>
                <Time iso={change.time} none="" /> <strong>{wordsOf(change.event)}</strong>{' '}
                {change.tenant !== null && tenant === undefined && (
                  <>
                    <a href={hrefOf({ page: 'tenant', tenant: change.tenant })}>{change.tenant}</a>{' '}
                  </>
                )}
                {change.key_id !== null && <code>{change.key_id}</code>} by {change.caller ?? 'unknown'}
                {change.outcome === 'refused' && <span class="state ended"> refused: {change.error ?? 'unknown'}</span>}
                {change.outcome === 'unknown' && (
                  <span class="state ended"> may be done in part or in whole: {change.error ?? 'unknown'}</span>
                )}
              </li>
            ))}
          </ol>
        </>
      )}
    </section>
  );
}

/** `admin.issueKey` as "issue key". */
function wordsOf(event: Change['event']): string {
  return event
    .replace(/^\w+\./, '')
    .replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    .trim();
}
