/** Auth0's own hosts: every identifier there is a system API's, the Management API's first of all. */
const AUTH0_HOST = /(^|\.)auth0(app)?\.com$/;

/** `urn:auth0-authz-api`, of the Authorization Extension. */
const AUTH0_URN = /^urn:auth0/;

/**
 * Whether an audience is that of Auth0's Management API, `https://<tenant>.<region>.auth0.com/api/v2/`, or of another API of
 * Auth0's own: a token for it would administer the Auth0 tenant. On any other host, which may be a custom domain, the path
 * `/api/v2` is enough. Auth0 compares identifiers letter by letter; spellings that a proxy or a later release could take for
 * the same are refused too: case, port, userinfo, slashes, dot segments, percent-encoding, full-width letters, accents, invisible
 * characters. ("Auth0 Management API: Audience".)
 */
export function isManagementAudience(audience: string): boolean {
  const text = plain(audience);
  if (AUTH0_URN.test(text)) return true;
  // A scheme, however many slashes follow it; then authority and path, without query and fragment.
  const [whole = ''] = text.replace(/^[a-z][a-z0-9+.-]*:/, '').split(/[?#]/, 1);
  const [authority = '', ...path] = whole.replace(/^\/+/, '').split('/');
  const host = authority.replace(/^.*@/, '').replace(/:\d*$/, '').replace(/\.+$/, '');
  return AUTH0_HOST.test(host) || resolved(path) === 'api/v2';
}

/** Lower case, without what only looks different. */
function plain(text: string): string {
  return (
    decoded(text)
      .normalize('NFKD')
      .toLowerCase()
      // Marks, spaces, controls, and characters that aren't shown.
      .replaceAll(/[\p{M}\p{Z}\p{C}\p{Default_Ignorable_Code_Point}]/gu, '')
      .replaceAll(/[。．｡]/g, '.')
      .replaceAll('\\', '/')
  );
}

/** Percent-decoded until nothing is left to decode. */
function decoded(text: string): string {
  for (let before = text; ;) {
    // A full-width per cent sign is one, too.
    const after = before
      .normalize('NFKD')
      .replaceAll(/(?:%[0-9a-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString('utf8'));
    if (after === before) return after;
    before = after;
  }
}

/** Without empty segments, dot segments and what follows a `;`. */
function resolved(path: readonly string[]): string {
  const kept: string[] = [];
  for (const segment of path.map((one) => one.replace(/;.*$/, ''))) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  return kept.join('/');
}
