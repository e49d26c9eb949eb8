import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { Endpoint, Fault } from './fault-switch.ts';
import type { Auth0StandIn } from './stand-in.ts';

export interface Control {
  /** `http://127.0.0.1:PORT`. */
  address: string;
  stop(): Promise<void>;
}

/**
 * The fault switch by HTTP, for programs that aren't in our process (another language's tests). A
 * port of its own, so that the stand-in answers nothing that Auth0 would not.
 *
 * `PUT /faults {fault, endpoint?, times?}` · `DELETE /faults` · `GET /calls` · `POST /keys/rotate`
 */
export async function startControl(standIn: Auth0StandIn, port = 0): Promise<Control> {
  const actions: Record<string, (body: unknown) => unknown> = {
    'PUT /faults'(body) {
      const { fault, ...options } = body as { fault: Fault; endpoint?: Endpoint; times?: number };
      standIn.faults.set(fault, options);
    },
    'DELETE /faults': () => standIn.faults.clear(),
    'GET /calls': () => standIn.calls,
    'POST /keys/rotate': () => standIn.rotateKeys(),
  };
  const server = createServer(async (request, response) => {
    const action = actions[`${request.method} ${request.url}`];
    if (!action) return void response.writeHead(404).end();
    try {
      const answer = await action(request.method === 'PUT' ? await json(request) : undefined);
      response.writeHead(answer === undefined ? 204 : 200, { 'Content-Type': 'application/json' });
      response.end(answer === undefined ? undefined : JSON.stringify(answer));
    } catch (error) {
      response.writeHead(400).end((error as Error).message);
    }
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
