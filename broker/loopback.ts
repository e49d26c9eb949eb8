const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Whether what is sent to this address can be read by nobody on the way: https, or http that stays on this machine. */
export function httpsOrLoopback(url: URL): boolean {
  return url.protocol === 'https:' || LOOPBACK.test(url.hostname);
}
