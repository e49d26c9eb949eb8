import { createServer } from 'node:http';

/**
 * The yardstick of `/verify`: a bare `node:http` handler that reads the same headers and writes the same 200, and does nothing
 * else. Its answer comes from the environment.
 */
const headers = JSON.parse(process.env['BARE_HEADERS'] ?? '[]') as string[];

const server = createServer((request, response) => {
  const { authorization, 'x-api-key': apiKey } = request.headers;
  if ((authorization ?? apiKey) === undefined || !request.url?.startsWith('/')) {
    response.writeHead(401).end();
    return;
  }
  response.writeHead(200, headers);
  response.end();
});

server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as { port: number }).port }));
