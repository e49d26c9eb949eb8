import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { Client, buildConnector } from 'undici';

/*
 * A crowd in a process of its own: all ask the same question at the same moment, each by a connection of its own, and those who are told to
 * come back do so. `node crowd.ts URL COUNT CA_FILE`; the form comes by standard input, since it holds a credential. Says `ready` once all
 * are connected, asks at the next line of standard input, then prints answers by status, and the tokens.
 */

const [url = '', count = '', caFile = ''] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async (): Promise<string> => (await lines.next()).value ?? '';
const body = await line();
// Without whoever started it it ends, too.
const told = line().then((said) => said !== '' || process.exit(1));
/** Handshakes at once: a broker gives each 5 s, and they cost the crowd most. */
const AT_ONCE = 32;
/** ms; brokers close a connection that does nothing for 65 s. */
const PING = 30_000;

// One for all: undici would parse the certificate again for each connection.
const connect = buildConnector({ secureContext: createSecureContext({ ca: readFileSync(caFile) }), timeout: 120_000 });
const clients = Array.from(
  { length: Number(count) },
  () => new Client(new URL(url).origin, { connect, headersTimeout: 120_000, bodyTimeout: 120_000, keepAliveTimeout: 600_000 }),
);
const outcomes: Record<string, number> = {};
const tokens = new Set<string>();
const go = Promise.withResolvers<'go'>();

async function ping(client: Client): Promise<void> {
  for (;;)
    try {
      const reply = await client.request({ method: 'GET', path: '/livez' });
      await reply.body.dump();
      return;
    } catch {
      await sleep(500);
    }
}

async function ask(client: Client): Promise<void> {
  for (;;) {
    let outcome: string;
    try {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const reply = await client.request({ method: 'POST', path: '/oauth/token', headers, body });
      const said = await reply.body.text();
      outcome = String(reply.statusCode);
      if (reply.statusCode === 200) tokens.add(String((JSON.parse(said) as { access_token?: unknown }).access_token));
    } catch (error) {
      outcome = `no answer: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`;
    }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (outcome === '200') return;
    await sleep(1_000 * (1 + Math.random()));
  }
}

async function stay(client: Client): Promise<void> {
  while ((await Promise.race([go.promise, sleep(PING)])) !== 'go') await ping(client);
}

const staying: Promise<void>[] = [];
const left = [...clients];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let client = left.pop(); client !== undefined; client = left.pop()) {
      await ping(client);
      staying.push(stay(client));
    }
  }),
);
process.stdout.write('ready\n');
await told;
go.resolve('go');
// Who is just being asked whether it lives answers that first.
await Promise.all(staying);
await Promise.all(clients.map(ask));
process.stdout.write(`${JSON.stringify({ outcomes, tokens: [...tokens] })}\n`);
process.exit();
