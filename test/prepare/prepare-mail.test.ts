import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createId } from '../../src/core/ids.ts';
import { type PrepareTask, prepareMail } from '../../src/prepare/prepare-mail.ts';
import { toRawMail } from '../../src/sources/raw.ts';

const ENTRY =
  'Received: from mail.example.com ([192.0.2.7]) by mx.google.com; Mon, 1 Jan 2024 10:00:00 +0000\n';
const RESULTS = 'Authentication-Results: mx.google.com; spf=pass\n';
const SPF = 'Received-SPF: pass (google.com: domain of a@example.com designates 192.0.2.7)\n';

test("a mailbox that names a provider's server has the provider's rules", async () => {
  const isTrusted = async (headers: string) => {
    const task: PrepareTask = {
      mail: toRawMail(Buffer.from(`${headers}From: a@example.com\n\nHello`)),
      origin: {
        id: createId('src'),
        kind: 'raw',
        mailboxId: createId('mbx'),
        tenant: 'default',
        address: 'grace@example.org',
        authenticationServers: ['mx.google.com'],
      },
      messageId: createId('msg'),
      takenAt: new Date(),
    };
    return JSON.parse((await prepareMail(task)).json).document.authentication.trusted;
  };
  assert.equal(await isTrusted(`${ENTRY}${SPF}${RESULTS}`), true);
  assert.equal(await isTrusted(`${ENTRY}${RESULTS}`), false);
});
