/**
 * Options of Node that `postern` runs with. V8's young generation takes 32 MB with the first, and 128 without in a broker of 100,000
 * tenants. With the second the old one grows by 30 % between two full collections, not to its double or more: 563 MB in place of 892 with
 * as many. Hits pay for neither, since what they make doesn't reach the old generation (none was collected in 33,000 of them; the first
 * 80.0 µs of processor time over 80.8, side by side); a first exchange pays some 0.15 ms for the second, by reckoning. With the third one
 * thread helps to collect garbage in place of four: on a single processor those leave the event loop a fifth of it, and its turns lasted
 * 18 ms in place of one until they were done. With the fourth SIGUSR1 opens no inspector, by which any local user could read secrets.
 */
export const NODE_OPTIONS: readonly string[] = [
  '--max-semi-space-size=16',
  '--heap-growing-percent=30',
  '--v8-pool-size=1',
  '--disable-sigusr1',
];
