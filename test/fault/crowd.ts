import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { Agent, request } from 'undici';

/*
 * A crowd in a process of its own: all ask the same question at the same moment, each by a connection of its own, and those who are told to
 * come back do so. `node crowd.ts URL COUNT CA_FILE`; the form comes by standard input, since it holds a credential. Prints answers by
 * status, and the tokens.
 */

const [url = '', count = '', caFile = ''] = process.argv.slice(2);
const body = await text(process.stdin);
const agent = new Agent({
  connections: Number(count),
  connect: { ca: readFileSync(caFile), timeout: 120_000 },
  headersTimeout: 120_000,
  bodyTimeout: 120_000,
});
const outcomes: Record<string, number> = {};
const tokens = new Set<string>();

async function ask(): Promise<void> {
  for (;;) {
    let outcome: string;
    try {
      const reply = await request(`${url}oauth/token`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
        dispatcher: agent,
      });
      const said = await reply.body.text();
      outcome = String(reply.statusCode);
      if (reply.statusCode === 200) tokens.add(String((JSON.parse(said) as { access_token?: unknown }).access_token));
    } catch (error) {
      outcome = `no answer: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`;
    }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (outcome === '200') return;
    await new Promise((resolve) => setTimeout(resolve, 1_000 * (1 + Math.random())));
  }
}

await Promise.all(Array.from({ length: Number(count) }, ask));
process.stdout.write(`${JSON.stringify({ outcomes, tokens: [...tokens] })}\n`);
await agent.destroy();
