const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export function isLoopback(url: URL): boolean {
  return LOOPBACK.test(url.hostname);
}

/** Whether nobody on the way can read what is sent to this address: https, or http that stays on this machine. */
export function httpsOrLoopback(url: URL): boolean {
  return url.protocol === 'https:' || isLoopback(url);
}
