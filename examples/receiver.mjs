// A webhook receiver to watch Posthorn with. Node 18 or later, nothing to install.
// Usage: node examples/receiver.mjs [port] [secret]
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const [port = '9000', secret] = process.argv.slice(2);

/** Verifies a request as the Standard Webhooks specification says. */
function isGenuine(headers, body) {
  const timestamp = Number(headers['webhook-timestamp']);
  if (!(Math.abs(Date.now() / 1000 - timestamp) < 300)) return false;
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const expected = createHmac('sha256', key).update(`${headers['webhook-id']}.${timestamp}.${body}`).digest();
  return String(headers['webhook-signature'])
    .split(' ')
    .map((signature) => Buffer.from(signature.replace('v1,', ''), 'base64'))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const verdict = secret
    ? isGenuine(request.headers, body)
      ? 'genuine'
      : 'NOT GENUINE'
    : 'not verified: no secret given';
  // Health checks, browsers and formats with other headers have no webhook-id.
  const what = request.headers['webhook-id'] ?? `${request.method} ${request.url}`;
  console.log(`${new Date().toISOString()} ${what} ${verdict}\n  ${body}`);
  response.writeHead(verdict === 'NOT GENUINE' ? 401 : 204).end();
});
server.on('error', (error) => {
  const reason =
    error.code === 'EADDRINUSE' ? 'is in use; give another: node examples/receiver.mjs 9001' : error.message;
  console.error(`Port ${port} ${reason}`);
  process.exit(1);
});
server.listen(Number(port), '127.0.0.1', () =>
  console.log(`Waiting for webhooks on http://127.0.0.1:${server.address().port}/hook`),
);
