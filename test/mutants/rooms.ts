import { authorization } from './authorization.ts';
import { credential } from './credential.ts';
import { http } from './http.ts';
import { listener } from './listener.ts';
import { pluginProtocol } from './plugin-protocol.ts';
import { plugin } from './plugin.ts';
import { token } from './token.ts';
import type { Mutants } from './mutant.ts';

export const rooms: readonly Mutants[] = [http, listener, credential, authorization, token, plugin, pluginProtocol];
