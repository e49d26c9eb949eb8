import { PosternError } from '#broker/error.ts';
import { silenceOfCode } from '#broker/silence.ts';
import { VaultFault, isFull } from '#broker/vault-fault.ts';

/** A Vault fault in an operator's words, with the remedy in `detail`; anything else passes. */
export function explain(error: unknown, doing: string, address: string): unknown {
  if (!(error instanceof VaultFault)) return error;
  if (error.isOfNoMount)
    return new PosternError('misconfigured', `Vault cannot ${doing}: it has no such mount`, {
      detail: `${error.message}. Are the mounts named as in terraform apply, and is VAULT_ADDR that of Vault itself, without a path?`,
    });
  switch (error.isOfBadToken ? 'denied' : error.reason) {
    case 'unreachable':
    case 'not_asked':
    case 'timeout':
      return new PosternError('temporarily_unavailable', `${error.message} at ${address}`, {
        detail: silenceText(error.causeCode),
      });
    case 'denied':
      return new PosternError('access_denied', `Vault refuses to ${doing} (permission denied)`, {
        detail: 'Has your token ended, or does it lack the policy (postern whoami)? Log in with `postern login`.',
      });
    case 'unavailable':
      return new PosternError('temporarily_unavailable', `Vault cannot ${doing} now`, {
        detail: `${error.message}. Is it sealed, or without an active node (vault status)?`,
      });
    case 'throttled':
      return new PosternError('too_many_requests', `Vault lets nobody ${doing} this often`, {
        detail: 'A rate-limit quota is used up. Try again in a moment.',
        ...(error.retryAfter === undefined ? {} : { retryAfter: error.retryAfter }),
      });
    case 'not_found':
      return new PosternError('not_found', `Vault has nothing there to ${doing}`, {
        detail: `${error.message}. Is Vault set up (terraform apply), and are the mounts named as there?`,
      });
    case 'invalid':
      return new PosternError('invalid_request', `Vault does not accept what it needs to ${doing}`, { detail: error.message });
    case 'conflict':
      return new PosternError('conflict', `Somebody else changed it while you were about to ${doing}`, {
        detail: 'Look at it again and repeat.',
      });
    case 'too_large':
      if (isFull(error))
        return new PosternError('misconfigured', `Vault has no room to ${doing}: a document is as long as its storage takes`, {
          detail: `${error.message}. It was not changed. What grows, and what to do: docs/scale.md`,
        });
      return new PosternError('temporarily_unavailable', `Vault has more than can be taken to ${doing}`, { detail: error.message });
    case 'redirected':
      return new PosternError('misconfigured', `Vault answers at another address`, { detail: error.message });
  }
}

function silenceText(code: string | undefined): string {
  const known = silenceOfCode(code);
  if (known?.remedy !== undefined) return `Vault: ${known.why}. ${known.remedy}`;
  return 'Is VAULT_ADDR right (http or https?), and can this machine reach it? Try: curl "$VAULT_ADDR/v1/sys/health"';
}
