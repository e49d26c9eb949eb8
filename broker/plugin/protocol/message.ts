/** Most bytes of a message, either way: Vault's own limit for plugins (math.MaxInt32 in its sdk). Vault limits what its clients send. */
export const MAX_MESSAGE = 2 ** 31 - 1;
