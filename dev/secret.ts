import { appendFileSync } from 'node:fs';

/**
 * Names a secret that the stack makes or that a customer of the demo holds. In a test run it goes
 * into the run's ledger (test/fixture/ledger.ts), and every log is then searched for it; otherwise
 * nothing happens.
 */
export function noteSecret(kind: string, value: string): string {
  const ledger = process.env['POSTERN_TEST_LEDGER'];
  if (ledger) appendFileSync(ledger, `${JSON.stringify({ kind, value })}\n`, { mode: 0o600 });
  return value;
}
