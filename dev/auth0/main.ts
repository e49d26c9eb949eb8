/**
 * The stand-in as a server of its own: `node dev/auth0/main.ts ACCOUNT.json [PORT]`.
 * The account is a JSON file (auth0/account.ts says what is in it), since secrets must not stand on
 * a command line. Prints one JSON line with its addresses; SIGINT and SIGTERM end it.
 */
import { readFile } from 'node:fs/promises';
import { startControl } from './control.ts';
import { startAuth0 } from './stand-in.ts';
import type { Auth0Account } from './account.ts';

const [file, port = '0'] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node dev/auth0/main.ts ACCOUNT.json [PORT]\n');
  process.exit(2);
}
const account = JSON.parse(await readFile(file, 'utf8')) as Partial<Auth0Account>;
const standIn = await startAuth0({
  account: { clients: [], apis: [], grants: [], organizations: [], people: [], ...account },
  port: Number(port),
});
const control = await startControl(standIn);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void Promise.all([control.stop(), standIn.stop()]));
}
process.stdout.write(`${JSON.stringify({ issuer: standIn.issuer, control: control.address })}\n`);
