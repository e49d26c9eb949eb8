import { Pool } from 'undici';
import { APIS } from '#dev/scenario.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until } from '#test/fixture/until.ts';
import type { Customer } from './customers.ts';
import type { Services } from './services.ts';
import { PATIENCE_MS } from './patience.ts';

/** The API, and how it is asked for. */
export const DOORS = ['orders by token', 'reports by token', 'reports by key'] as const;
/** More ways to the same tokens. */
export const MORE_DOORS = ['orders by JSON', 'reports by Basic', 'orders by key', 'reports by Vault token'] as const;
export type Door = (typeof DOORS | typeof MORE_DOORS)[number];

type Api = (typeof APIS)['orders' | 'reports'];

export interface Outcome {
  /** Status, or why there was no answer. */
  outcome: string;
  ms: number;
  /** What is wrong with a 200, or with a refusal of a right credential. */
  wrong?: string;
  token?: string;
}

/** Clients of one address, who look at what they are given. */
export class Clients {
  readonly #pool: Pool;
  readonly #services: Services;

  constructor(url: string, { ca, services, connections = 128 }: { ca: string; services: Services; connections?: number }) {
    this.#pool = new Pool(new URL(url).origin, { connections, connect: { ca }, headersTimeout: 20_000, bodyTimeout: 20_000 });
    this.#services = services;
  }

  async ask(door: Door, customer: Customer): Promise<Outcome> {
    const [name, , ...way] = door.split(' ');
    const api = name === 'orders' ? APIS.orders : APIS.reports;
    const began = performance.now();
    try {
      const reply = way[0] === 'key' ? await this.#verify(customer, api) : await this.#exchange(customer, api, way.join(' '));
      const ms = performance.now() - began;
      const outcome = String(reply.status);
      if (reply.status !== 200) {
        // Everybody who asks here may have what they ask for.
        const misled = reply.status !== 503 && reply.status !== 502 && reply.status !== 504 && reply.status !== 429;
        return { outcome, ms, ...(misled ? { wrong: `${door}: ${customer.tenant} is told ${outcome} ${reply.text.slice(0, 200)}` } : {}) };
      }
      const fault = await this.#services.fault(reply.token, customer.tenant, api.audience);
      return { outcome, ms, token: reply.token, ...(fault === undefined ? {} : { wrong: `${door}: ${fault}` }) };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return { outcome: `no answer: ${code ?? message}`, ms: performance.now() - began };
    }
  }

  /** By every door, again and again until each is served. @throws Error where that takes longer than a loaded machine needs */
  async serveAll(customers: readonly Customer[]): Promise<void> {
    for (const customer of customers)
      for (const door of DOORS) await until(async () => (await this.ask(door, customer)).outcome === '200', PATIENCE_MS);
  }

  async #exchange(customer: Customer, { audience }: Api, way: string) {
    const { headers, body: form } = requestOf(customer, audience, way);
    const { statusCode, body } = await this.#pool.request({ method: 'POST', path: '/oauth/token', headers, body: form });
    const text = await body.text();
    const token = statusCode === 200 ? String((JSON.parse(text) as { access_token?: unknown }).access_token) : '';
    return { status: statusCode, text, token: noted(token) };
  }

  async #verify({ key }: Customer, { audience, scopes }: Api) {
    const query = new URLSearchParams({ audience, scope: scopes.join(' ') });
    const { statusCode, headers, body } = await this.#pool.request({
      method: 'GET',
      path: `/verify?${query}`,
      headers: { 'x-api-key': key },
    });
    const text = await body.text();
    return { status: statusCode, text, token: noted(String(headers['authorization'] ?? '').replace('Bearer ', '')) };
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

function requestOf({ client_id, client_secret, vaultToken }: Customer, audience: string, way: string) {
  const plain = { grant_type: 'client_credentials', audience };
  const form = (parameters: Record<string, string>): string => new URLSearchParams(parameters).toString();
  if (way === 'JSON')
    return { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...plain, client_id, client_secret }) };
  if (way === 'Basic') {
    const authorization = `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`;
    return { headers: { ...FORM, authorization }, body: form(plain) };
  }
  if (way === 'Vault token') {
    const subject = { subject_token: vaultToken ?? '', subject_token_type: 'urn:postern:params:oauth:token-type:vault-token' };
    return { headers: FORM, body: form({ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', audience, ...subject }) };
  }
  return { headers: FORM, body: form({ ...plain, client_id, client_secret }) };
}

const seen = new Set<string>();

/** Into the ledger of secrets, each once. */
function noted(token: string): string {
  if (token !== '' && !seen.has(token)) {
    seen.add(token);
    registerSecret('access token', token);
  }
  return token;
}
