/** A header field, or a pseudo-header. */
export interface Field {
  readonly name: string;
  readonly value: string;
}

/** The headers of one call. */
export class Headers {
  readonly #fields: readonly Field[];

  constructor(fields: readonly Field[]) {
    this.#fields = fields;
  }

  /** Of a name that comes more than once all values, separated by commas. */
  get(name: string): string | undefined {
    let found: string | undefined;
    for (const field of this.#fields) if (field.name === name) found = found === undefined ? field.value : `${found}, ${field.value}`;
    return found;
  }
}

/** https://www.rfc-editor.org/rfc/rfc7541#appendix-A: those from 1 on, by line `name value`. */
export const STATIC_TABLE: readonly Field[] = `
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`
  .split('\n')
  .map((line) => {
    const [name = '', ...value] = line.split(' ');
    return { name, value: value.join(' ') };
  });
