import { setTimeout as sleep } from 'node:timers/promises';
import { verify } from './gateway.ts';
import { Person, blockAtAuth0 } from './person.ts';
import { APIS } from './scenario.ts';
import type { Stack } from './stack.ts';
import { check, duration } from './story.ts';
import type { Story } from './story.ts';

/** Within so many milliseconds a key stops after its owner went at Auth0, by the log stream. */
const GONE_WITHIN = 10_000;
const ID = 'auth0|ursula';

/** A chapter: somebody at acme makes a key of her own, uses it, leaves, and the key stops. */
export async function leave({ stack, story }: { stack: Stack; story: Story }): Promise<void> {
  story.chapter('Ursula, of acme');
  const ursula = await story.step('logs in with Auth0 and makes an API key of her own, shown once', async () => {
    const person = await Person.login(stack, ID, 'ursula@acme.example.com');
    const { status, body } = await person.ask('POST', 'keys', { name: "Ursula's script", scopes: ['read:reports'] });
    check(status === 201 && typeof body['key'] === 'string', `the self-service API answered ${status} ${JSON.stringify(body['detail'])}`);
    return { seen: String(body['key_id']), value: { person, key: body['key'], keyId: String(body['key_id']) } };
  });
  const use = () => verify(stack.broker.issuer, { audience: APIS.reports.audience, scope: 'read:reports', key: ursula.key });
  await story.step('uses it: the token names her, and the key that acts for her', async () => {
    const { status, token } = await use();
    check(status === 200, `/verify answered ${status}`);
    const response = await fetch(`${stack.service.address}/reports`, { headers: { Authorization: `Bearer ${token}` } });
    const { verified = {} } = (await response.json()) as { verified?: Record<string, unknown> };
    const act = verified['act'] as { sub?: unknown } | undefined;
    check(response.status === 200 && verified['sub'] === ID && act?.sub === ursula.keyId, 'the token does not name her and her key');
    return { seen: `GET /reports 200, sub ${ID}`, value: undefined };
  });
  await story.step('leaves the company: the key stops, and she makes no other', async () => {
    const start = performance.now();
    await blockAtAuth0(stack, ID);
    let answer = await use();
    while (answer.status === 200 && performance.now() - start < 2 * GONE_WITHIN) {
      await sleep(25);
      answer = await use();
    }
    const took = performance.now() - start;
    check(answer.status === 401 && answer.token === '', `still answered ${answer.status} after ${duration(took)}`);
    check(took <= GONE_WITHIN, `it took ${duration(took)}, more than ${duration(GONE_WITHIN)}`);
    const again = await ursula.person.ask('POST', 'keys', { name: 'one more' });
    check(again.status === 401, `her access token of before made another key: ${again.status}`);
    return { seen: `401 after ${duration(took)} (promised: 10 s)`, value: undefined };
  });
}
