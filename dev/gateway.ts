import { noteSecret } from './secret.ts';

export interface VerifyAnswer {
  status: number;
  /** What the gateway sends on in place of the key; empty when it was refused. */
  token: string;
  error: string;
}

/** Plays a gateway, which asks Postern about the key of each request that it gets (docs/gateway.md). */
export async function verify(
  issuer: string,
  { audience, scope, key }: { audience: string; scope: string; key: string },
): Promise<VerifyAnswer> {
  const response = await fetch(`${issuer}verify?${new URLSearchParams({ audience, scope }).toString()}`, {
    headers: { 'X-API-Key': key },
    redirect: 'error',
    signal: AbortSignal.timeout(10_000),
  });
  const token = response.headers.get('authorization')?.replace('Bearer ', '') ?? '';
  if (token !== '') noteSecret('access token', token);
  const text = await response.text();
  return { status: response.status, token, error: text === '' ? '' : String((JSON.parse(text) as { error?: string }).error) };
}
