/** An error as Auth0 answers it: status and body. Wording from public threads; see the facts beside each use. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly body: { error: string; error_description: string; error_uri?: string };

  constructor(status: number, error: string, description: string, uri?: string) {
    super(description);
    this.status = status;
    this.body = { error, error_description: description, ...(uri === undefined ? {} : { error_uri: uri }) };
  }
}

/** Unknown client and wrong secret alike. */
export const unauthorized = (): Refusal => new Refusal(401, 'access_denied', 'Unauthorized');

export const invalidRequest = (description: string): Refusal => new Refusal(400, 'invalid_request', description);

export const accessDenied = (description: string): Refusal => new Refusal(403, 'access_denied', description);
