import { createServer } from 'node:http';
import { parse } from 'node:querystring';

/**
 * The yardstick: a bare `node:http` handler that reads the same form and writes the same bytes as a
 * cached exchange, and does nothing else. Its reply comes from the environment.
 */
const body = process.env['BARE_BODY'] ?? '';
const headers = [
  'Cache-Control',
  'no-store',
  'Pragma',
  'no-cache',
  'Content-Type',
  'application/json',
  'Content-Length',
  String(Buffer.byteLength(body)),
];

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const form = parse(Buffer.concat(chunks).toString('utf8'));
    if (form['grant_type'] !== 'client_credentials' || typeof form['client_secret'] !== 'string') {
      response.writeHead(400).end();
      return;
    }
    response.writeHead(200, headers);
    response.end(body);
  });
});

server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as { port: number }).port }));
