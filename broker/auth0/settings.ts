import { z } from 'zod';
import { seconds, secureIssuer } from '#broker/setting.ts';
import { BINDING_MODES } from './binding.ts';

/** Environment variables of this source; it is off without POSTERN_AUTH0_ISSUER. */
export const settings = {
  POSTERN_AUTH0_ISSUER: secureIssuer.optional(),
  POSTERN_AUTH0_BINDING: z.enum(BINDING_MODES).default('action'),
  POSTERN_AUTH0_TIMEOUT: seconds(5, 0.1, 60),
};
