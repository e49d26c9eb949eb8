import { randomUUID } from 'node:crypto';

/** Text of people and of other services, which must never become markup. */
const escaped = (value) => String(value).replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

/** Markup with values in it: each is escaped unless it is markup made by this very function. */
function html(parts, ...values) {
  const text = (value) => {
    if (Array.isArray(value)) return value.map(text).join('');
    return value instanceof Markup ? value.markup : escaped(value ?? '');
  };
  return new Markup(parts.reduce((all, part, at) => `${all}${text(values[at - 1])}${part}`));
}

class Markup {
  constructor(markup) {
    this.markup = markup;
  }

  toString() {
    return this.markup;
  }
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

/** Each form has the session's token (CSRF), and a random text of its own by which sending it twice makes no second key. */
const form = (csrf, action, content) =>
  html`<form method="post" action="${action}">
    <input type="hidden" name="csrf" value="${csrf}" />
    <input type="hidden" name="attempt" value="${randomUUID()}" />
    ${content}
  </form>`;

const titleOf = (key) => key.name ?? key.key_id;

const row = (csrf, mine) => (key) =>
  html`<tr>
    <th scope="row">${titleOf(key)}</th>
    ${mine ? '' : html`<td>${key.owner}</td>`}
    <td>${key.state}</td>
    <td>${(key.scopes ?? []).join(' ')}</td>
    <td>${date(key.last_used_at, 'never')}</td>
    <td>${date(key.expires_at, 'when revoked')}</td>
    <td>
      ${mine && key.state === 'active'
        ? form(csrf, `/keys/${key.key_id}/rotate`, html`<button aria-label="Rotate ${titleOf(key)}">Rotate</button>`)
        : ''}
      ${form(csrf, `/keys/${key.key_id}/revoke`, html`<button aria-label="Revoke ${titleOf(key)}">Revoke</button>`)}
    </td>
  </tr>`;

const table = (csrf, keys, mine) =>
  keys.length === 0
    ? html`<p>There is no key yet.</p>`
    : html`<div class="wide" tabindex="0" role="region" aria-label="Keys">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              ${mine ? '' : html`<th scope="col">Owner</th>`}
              <th scope="col">State</th>
              <th scope="col">May</th>
              <th scope="col">Last used</th>
              <th scope="col">Ends</th>
              <th scope="col">Change</th>
            </tr>
          </thead>
          <tbody>
            ${keys.map(row(csrf, mine))}
          </tbody>
        </table>
      </div>`;

const newKeyForm = (csrf, { scopes, max_ttl: longest }) => {
  const days = [7, 30, 90, 365].filter((one) => one * 86_400 <= longest);
  return form(
    csrf,
    '/keys',
    html`<label>What it is for <input name="name" required maxlength="100" autocomplete="off" /></label>
      <fieldset>
        <legend>What it may do</legend>
        ${scopes.map((scope) => html`<label><input type="checkbox" name="scope" value="${scope}" checked /> ${scope}</label>`)}
      </fieldset>
      <label
        >It lives for
        <select name="ttl">
          ${days.map((one) => html`<option value="${one * 86_400}">${one} days</option>`)}
          ${days.length === 0 ? html`<option value="${longest}">as long as your company allows</option>` : ''}
        </select></label
      >
      <button>Make it</button>`,
  );
};

export const keysPage = ({ person, csrf, me, keys, organization }) =>
  page(
    'My API keys',
    html`<header>
        <span>${person}</span>
        <a href="/logout">Log out</a>
      </header>
      <h1>My API keys</h1>
      ${table(csrf, keys, true)}
      <h2>Make a key</h2>
      ${me.scopes.length === 0 ? html`<p>You have no permission that a key may have. Your administrator gives them.</p>` : newKeyForm(csrf, me)}
      ${organization === undefined
        ? ''
        : html`<h2>Keys of your organization</h2>
            ${table(csrf, organization, false)}`}`,
  );

export const keyPage = ({ key }) =>
  page(
    'Your new key',
    html`<h1>Your new key</h1>
      <p>Copy it now: it is shown this once, and nobody can look it up.</p>
      <pre tabindex="0" aria-label="The key"><code data-secret>${key.key}</code></pre>
      <p><a href="/">Back to your keys</a></p>`,
  );

export const errorPage = (message) =>
  page(
    'That did not work',
    html`<h1>That did not work</h1>
      <p role="alert">${message}</p>
      <p><a href="/">Back to your keys</a> or <a href="/login">log in again</a></p>`,
  );
