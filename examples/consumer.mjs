// A consumer in twenty lines: verifies each webhook and answers 2xx only then.
//
//   WEBHOOK_SECRET=whsec_... node examples/consumer.mjs [port]
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const port = Number(process.argv[2] ?? 9999);

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const { type, data } = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
    console.log(`${request.headers['webhook-id']} ${type} ${data.subject ?? ''}`);
    response.writeHead(204).end();
  } catch (error) {
    console.log(`refused: ${error.message}`);
    response.writeHead(401).end();
  }
}).listen(port, '127.0.0.1', () => console.log(`waiting for webhooks on http://127.0.0.1:${port}/`));
