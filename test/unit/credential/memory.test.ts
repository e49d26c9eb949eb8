import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

/** Whether the secret is on the heap of a process that keeps one field of a credential parsed from a body, and nothing else of it. */
function secretStaysWith(field: 'clientId' | 'lastingClientId'): boolean {
  const script = `
    import { randomUUID } from 'node:crypto';
    import { getHeapSnapshot } from 'node:v8';
    import { text } from 'node:stream/consumers';
    import { AppRoleCredential } from '#broker/credential/approle.ts';
    import { parseForm } from '#broker/http/body.ts';
    const secret = () => ['a', 'secret', 'of', 'thirty', 'six', 'characters', '12'].join('-');
    const read = () => {
      const sent = parseForm(Buffer.from('client_id=' + randomUUID() + '&client_secret=' + secret()).toString('latin1'));
      return AppRoleCredential.of(sent.get('client_id'), sent.get('client_secret')).${field};
    };
    globalThis.kept = read();
    // The text that was matched last is kept by the engine, until the next one.
    /x/.test('x');
    globalThis.gc();
    process.stdout.write(String((await text(getHeapSnapshot())).includes('client_secret=' + secret())));`;
  const said = execFileSync(process.execPath, ['--expose-gc', '--input-type=module-typescript', '-e', script], {
    cwd: checkout,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return said === 'true';
}

test('a client_id that outlives its request does not keep the body, with its secret, in memory', () => {
  expect(secretStaysWith('lastingClientId')).toBe(false);
  // What a client_id as it was parsed would do; where this is no longer so, lastingClientId isn't needed any more.
  expect(secretStaysWith('clientId')).toBe(true);
});
