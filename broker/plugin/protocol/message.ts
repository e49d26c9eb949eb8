/** Bytes a message may have, both ways: Vault's own limit for plugins (math.MaxInt32 in its sdk). What a client may send, Vault limits before. */
export const MAX_MESSAGE = 2 ** 31 - 1;
