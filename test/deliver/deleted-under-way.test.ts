import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureLog } from '../http/captured-log.ts';
import { addConsumer } from '../support/deliveries.ts';
import { waitUntil } from '../support/embedded-place.ts';
import { addSource, batch, gmailItem, mailOf, startTestService } from '../support/service.ts';

test('a delivery that is deleted with its mailbox while it is under way is not logged as taken over', async (t) => {
  const { log, lines } = captureLog();
  const service = await startTestService({ log });
  t.after(() => service.dispose());
  const source = await addSource(service);
  const answers: (() => void)[] = [];
  await using consumer = await addConsumer(
    service,
    (response) => void answers.push(() => response.writeHead(204).end()),
  );
  await service.push(source, batch([gmailItem('18d1', mailOf('Under way'))]));
  await consumer.waitFor(1);
  assert.equal((await service.api('DELETE', `/v1/mailboxes/${source.mailboxId}`)).status, 204);
  for (const answer of answers) answer();
  const said = () => lines.find(({ msg }) => msg.includes('before its record'));
  await waitUntil('it is said', async () => said() !== undefined);
  assert.match(said()?.msg ?? '', /deleted/);
});
