import { z } from 'zod';
import { KEY_ID } from '#broker/credential/owner.ts';
import { NAME } from '#broker/credential/identity.ts';
import { ERROR_CODES } from '#broker/error.ts';

const text = (description: string, max = 1024): z.ZodString => z.string().max(max).meta({ description });

/** A SHA-256, hexadecimal. */
export const sha256 = (of: string): z.ZodString =>
  z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .meta({ description: `SHA-256 of ${of}, hexadecimal.` });

/** What each event has. */
export const always = {
  time: z.iso.datetime({ precision: 3 }).meta({ description: 'UTC.' }),
  request_id: z
    .string()
    .min(1)
    .max(128)
    .meta({ description: "Names the request, as X-Request-Id does in its answer; of what no request began, the work's own." }),
};

export const address = text('IP address of the client; of a Unix socket or a connection that is gone, empty.', 64);
export const ms = z.number().nonnegative().meta({ description: 'How long it took, milliseconds.' });
export const error = z.enum([...ERROR_CODES, 'internal']).meta({ description: 'Code of a refusal or failure (broker/error.ts).' });
export const tenant = z.string().regex(NAME);
export const api = text('Name of the API.', 256);
export const keyId = z.string().regex(KEY_ID).meta({ description: 'Names the API key.' });
export const trust = z.string().regex(NAME).meta({ description: 'Names the trust, where a workload showed a token of its own issuer.' });
export const expiresIn = z.number().meta({ description: 'What is left of the token, seconds.' });
export { text };

export const vault = z
  .literal('away')
  .meta({ description: 'Vault could not be asked, so that the client is known by what Vault said before.' });
