/** The stand-in for Auth0's cloud: what others use of it. */
export { issuedKey, startAuth0 } from './auth0/stand-in.ts';
export { MANAGEMENT_SCOPES } from './auth0/management-endpoint.ts';
export type { Auth0Options, Auth0StandIn } from './auth0/stand-in.ts';
export type {
  Auth0Account,
  Auth0Api,
  Auth0Client,
  Auth0ClientGrant,
  Auth0LogStream,
  Auth0Organization,
  Auth0Person,
  Auth0Role,
} from './auth0/account.ts';
export type { Endpoint, Fault, FaultSwitch } from './auth0/fault-switch.ts';
export type { RateLimit } from './auth0/limit.ts';
