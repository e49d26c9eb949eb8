import { render } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { AdminApi } from './api.ts';
import { Changes } from './changes.tsx';
import { hrefOf, useRoute } from './route.ts';
import { Session } from './session.ts';
import type { ConsoleConfig } from './session.ts';
import { TenantPage } from './tenant.tsx';
import { Tenants } from './tenants.tsx';

/** Set during a login, so that loading the page again goes straight back through Auth0; no secret. */
const MARK = 'postern-logged-in';

interface Person {
  name: string;
  permissions: ReadonlySet<string>;
}

function Console({ session, person, version }: { session: Session; person: Person; version: string }) {
  const route = useRoute();
  const api = useMemo(() => new AdminApi(() => session.token()), [session]);
  const [said, setSaid] = useState('');
  const main = useRef<HTMLElement>(null);
  const place = hrefOf(route);
  const before = useRef(place);
  // A new page begins at its top, for the eye and for a screen reader.
  useEffect(() => {
    if (before.current === place) return;
    before.current = place;
    setSaid('');
    main.current?.focus();
    scrollTo(0, 0);
  }, [place]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header>
        <span class="brand">
          <img src="icon.svg" alt="" width={24} height={24} /> Postern
        </span>
        <nav aria-label="Pages">
          <a href={hrefOf({ page: 'tenants' })} aria-current={route.page === 'tenants' ? 'page' : undefined}>
            Tenants
          </a>
          <a href={hrefOf({ page: 'changes' })} aria-current={route.page === 'changes' ? 'page' : undefined}>
            Lately
          </a>
        </nav>
        <span class="person">{person.name}</span>
        <button onClick={() => leave(session)}>Log out</button>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <p class="said" role="status">
          {said}
        </p>
        {route.page === 'tenants' && <Tenants api={api} />}
        {route.page === 'tenant' && (
          <TenantPage key={route.tenant} api={api} name={route.tenant} permissions={person.permissions} announce={setSaid} />
        )}
        {route.page === 'changes' && <Changes api={api} />}
      </main>
      <footer>Postern {version}</footer>
    </>
  );
}

function Door({ session, error }: { session: Session; error: unknown }) {
  return (
    <main class="door">
      <img src="icon.svg" alt="" width={64} height={64} />
      <h1>Postern</h1>
      <p>For operators: tenants and their API keys.</p>
      {error !== undefined && (
        <p class="trouble" role="alert">
          Auth0 did not let you in: {(error as Error).message}
        </p>
      )}
      <button class="main" onClick={() => void enter(session)}>
        Log in with Auth0
      </button>
    </main>
  );
}

function enter(session: Session): Promise<void> {
  sessionStorage.setItem(MARK, '1');
  return session.login();
}

function leave(session: Session): void {
  sessionStorage.removeItem(MARK);
  void session.logout();
}

async function start(root: Element): Promise<void> {
  const response = await fetch('config.json', { cache: 'no-store', credentials: 'omit' });
  const config = (await response.json()) as ConsoleConfig;
  const session = new Session(config);
  let error: unknown;
  try {
    if (await session.begin()) {
      const person = { name: await session.person(), permissions: await session.permissions() };
      return render(<Console session={session} person={person} version={config.version} />, root);
    }
    if (sessionStorage.getItem(MARK) !== null) return await enter(session);
  } catch (failure) {
    sessionStorage.removeItem(MARK);
    error = failure;
  }
  render(<Door session={session} error={error} />, root);
}

const root = document.querySelector('#console')!;
start(root).catch(() => {
  render(
    <main class="door">
      <p class="trouble" role="alert">
        The broker did not answer. <button onClick={() => location.reload()}>Try again</button>
      </p>
    </main>,
    root,
  );
});
