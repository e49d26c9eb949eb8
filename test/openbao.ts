/**
 * Tests of `test/integration` that the project `openbao` leaves out, with the reason of each. A test holds this list:
 * a file that isn't here runs on OpenBao too.
 */
export const NOT_ON_OPENBAO: Readonly<Record<string, string>> = {};
