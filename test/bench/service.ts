import { startService } from '#dev/service.ts';
import type { ServiceRoute } from '#dev/service.ts';

/** The sample service in a process of its own: Express with Auth0's `express-oauth2-jwt-bearer`. Its routes come from the environment. */
const service = await startService(JSON.parse(process.env['SERVICE_ROUTES'] ?? '[]') as ServiceRoute[]);
process.send?.({ port: Number(new URL(service.address).port) });
