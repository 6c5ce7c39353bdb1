import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import { MailgressError } from '../core/errors.ts';
import { endpointSchema, mailboxSchema, sourceSchema } from '../core/resources.ts';
import { readInstance } from '../ops/data-directory.ts';
import { startService } from '../service.ts';
import { migrateDatabase } from '../store/migrate.ts';
import { version } from '../version.ts';
import { type Client, createClient, postSigned } from './client.ts';
import { startDemoConsumer } from './demo-consumer.ts';
import { createDemoMails } from './demo-mails.ts';
import { firstMailPath } from './first-mail.ts';
import { openConfiguredDatabase, requireAdminToken } from './open-database.ts';
import { colour, say } from './print.ts';
import { watchStopSignal } from './stop-signal.ts';

/** Takes a dozen mails through, and shows what is answered, what is a duplicate, and each webhook as it comes. */
export async function demo(config: Config): Promise<void> {
  const stop = watchStopSignal();
  const own = (await isRunning(config)) ? undefined : await startOwn(config);
  try {
    const client = await createClient(config, own ?? {});
    say(`${colour('bold', 'Mailgress demo')}  on ${client.url}${own ? ', an instance of its own' : ''}`, '');
    await Promise.race([run(client), stop.requested]);
    if (stop.received() !== undefined) return;
    say(
      '',
      colour('bold', 'Try next'),
      ...(own ? ['  npm start                                          run it for real'] : []),
      `  ${`npx mailgress send ${firstMailPath()}`.padEnd(49)}  a mail of yours`,
      '  npx mailgress endpoint add <your URL>              a webhook of yours',
      '  npx mailgress tail                                 watch events come',
    );
  } finally {
    await own?.stop();
  }
}

async function isRunning(config: Config): Promise<boolean> {
  const instance = await readInstance(config.dataDirectory);
  const url = config.publicUrl ?? instance?.url;
  if (url === undefined) return false;
  return fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5000) }).then(
    (response) => response.ok,
    () => false,
  );
}

/** A service on an embedded database in a directory that goes away with it. */
async function startOwn(config: Config): Promise<{ url: string; token: string; stop(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'mailgress-demo-'));
  // As root PostgreSQL runs as a system user, who has to pass.
  await chmod(directory, 0o711);
  const demoConfig = { ...readConfig({}), dataDirectory: join(directory, 'data') };
  say(colour('dim', 'starting PostgreSQL and the service ...'));
  const stops = [() => rm(directory, { recursive: true, force: true })];
  const stop = async () => {
    for (const stopOne of stops.splice(0).reverse()) await stopOne();
  };
  try {
    const database = await openConfiguredDatabase(demoConfig, 'own', () => {});
    stops.push(() => database.stop());
    const adminToken = requireAdminToken(database);
    await migrateDatabase(database.url);
    const service = await startService({
      databaseUrl: database.url,
      host: '127.0.0.1',
      port: 0,
      publicUrl: undefined,
      adminToken,
      secretKeys: database.secretKeys,
      egressAllow: [],
      allowLoopback: true,
      bodyLimitBytes: config.bodyLimitBytes,
      google: demoConfig.google,
      microsoft: demoConfig.microsoft,
      dispatch: true,
      version,
      log: pino({ level: 'silent' }),
    });
    stops.push(() => service.stop());
    return { url: service.address, token: adminToken, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function run(client: Client): Promise<void> {
  const runId = randomBytes(4).toString('hex');
  const mailbox = mailboxSchema.parse(
    await client.call('POST', '/v1/mailboxes', { address: `demo-${runId}@mailgress.test` }),
  );
  const source = sourceSchema
    .extend({ secret: z.string(), ingestUrl: z.string() })
    .parse(await client.call('POST', `/v1/mailboxes/${mailbox.id}/sources`, { kind: 'apps-script' }));
  const consumer = await startDemoConsumer();
  const endpoint = endpointSchema
    .extend({ secret: z.string() })
    .parse(await client.call('POST', '/v1/endpoints', { url: consumer.url, description: 'demo' }));
  try {
    for (const { title, item } of createDemoMails(runId)) {
      const startedMs = performance.now();
      const result = await post(client, source, item);
      const answeredMs = performance.now() - startedMs;
      const isNew = result.status === 'accepted';
      const arrival = isNew ? await consumer.waitFor(result.messageId ?? '', endpoint.secret) : undefined;
      say(
        `  ${title.padEnd(30)}${paint(result.status)}${`${answeredMs.toFixed(0)} ms`.padStart(7)}  ` +
          (arrival === undefined
            ? colour('dim', result.reason ?? `no second webhook for ${result.messageId?.slice(0, 16)}...`)
            : `webhook ${arrival.isVerified ? 'verified' : 'NOT VERIFIED'} after ${(arrival.atMs - startedMs).toFixed(0)} ms  ${colour('dim', arrival.summary)}`),
      );
    }
  } finally {
    await Promise.allSettled([
      client.call('DELETE', `/v1/endpoints/${endpoint.id}`),
      client.call('DELETE', `/v1/mailboxes/${mailbox.id}`),
      consumer.close(),
    ]);
  }
}

function paint(status: 'accepted' | 'duplicate' | 'rejected'): string {
  const colours = { accepted: 'green', duplicate: 'yellow', rejected: 'red' } as const;
  return colour(colours[status], status.padEnd(10));
}

/** By the route and signature that the script uses. */
async function post(client: Client, source: { id: string; secret: string }, item: unknown) {
  const body = JSON.stringify({
    kind: 'messages',
    script: { version: 'demo', account: 'demo@mailgress.test' },
    messages: [item],
  });
  const [result] = await postSigned(client, 'apps-script', source, Buffer.from(body));
  if (result === undefined)
    throw new MailgressError('internal', 'a batch of one was answered without a result');
  return result;
}
