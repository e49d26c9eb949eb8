import { useEffect, useState } from 'preact/hooks';

/** Where in the console somebody is; it stands in the address's fragment, so that it can be linked to and gone back from. */
export type Route = { page: 'tenants' } | { page: 'tenant'; tenant: string } | { page: 'changes' };

export function hrefOf(route: Route): string {
  switch (route.page) {
    case 'tenants':
      return '#/tenants';
    case 'tenant':
      return `#/tenants/${encodeURIComponent(route.tenant)}`;
    case 'changes':
      return '#/changes';
  }
}

function routeOf(hash: string): Route {
  if (hash === '#/changes') return { page: 'changes' };
  const tenant = /^#\/tenants\/([^/]+)$/.exec(hash)?.[1];
  return tenant === undefined ? { page: 'tenants' } : { page: 'tenant', tenant: decoded(tenant) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = (): void => setHash(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return routeOf(hash);
}
