import { randomUUID } from 'node:crypto';

/** Text of people and of other services, which must never become markup. */
const escaped = (value) =>
  String(value).replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

/** Markup with values in it: each is escaped unless it is markup made by this very function. */
function html(parts, ...values) {
  const text = (value) => {
    if (Array.isArray(value)) return value.map(text).join('');
    return value?.markup ?? escaped(value ?? '');
  };
  return { markup: parts.reduce((all, part, at) => `${all}${text(values[at - 1])}${part}`) };
}

const date = (iso, none) => (iso ? html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>` : none);

const page = (title, content) =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="stylesheet" href="/style.css" />
      </head>
      <body>
        <main>${content}</main>
      </body>
    </html>`.markup;

/** One key, and what can be done with it. A form has a random text of its own, so that sending it twice makes no second key. */
const row = (key) =>
  html`<tr>
    <th scope="row">${key.name ?? key.key_id}</th>
    <td>${key.state}</td>
    <td>${date(key.last_used_at, 'never')}</td>
    <td>${date(key.expires_at, 'when revoked')}</td>
    <td>
      <form method="post" action="/keys/${key.key_id}/rotate">
        <input type="hidden" name="attempt" value="${randomUUID()}" />
        <button aria-label="Rotate ${key.name ?? key.key_id}">Rotate</button>
      </form>
      <form method="post" action="/keys/${key.key_id}/revoke">
        <button aria-label="Revoke ${key.name ?? key.key_id}">Revoke</button>
      </form>
    </td>
  </tr>`;

export const keysPage = ({ person, keys }) =>
  page(
    'My API keys',
    html`<header>
        <span>${person}</span>
        <a href="/logout">Log out</a>
      </header>
      <h1>My API keys</h1>
      ${keys.length === 0
        ? html`<p>You have no key yet.</p>`
        : html`<table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">State</th>
                <th scope="col">Last used</th>
                <th scope="col">Ends</th>
                <th scope="col">Change</th>
              </tr>
            </thead>
            <tbody>
              ${keys.map(row)}
            </tbody>
          </table>`}
      <h2>Make a key</h2>
      <form method="post" action="/keys">
        <input type="hidden" name="attempt" value="${randomUUID()}" />
        <label>What it is for <input name="name" required maxlength="100" autocomplete="off" /></label>
        <label
          >It lives for
          <select name="days">
            <option value="30">30 days</option>
            <option value="90">90 days</option>
          </select></label
        >
        <button>Make it</button>
      </form>`,
  );

export const keyPage = ({ key }) =>
  page(
    'Your new key',
    html`<h1>Your new key</h1>
      <p>Copy it now: it is shown this once.</p>
      <pre><code data-secret tabindex="0">${key.key}</code></pre>
      <p><a href="/">Back to your keys</a></p>`,
  );

export const errorPage = (message) =>
  page(
    'That did not work',
    html`<h1>That did not work</h1>
      <p role="alert">${message}</p>
      <p><a href="/">Back to your keys</a></p>`,
  );
