import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type MailContent, mailContentSchema } from '../../src/core/message.ts';
import { normalize } from '../../src/core/normalize.ts';
import { rawMail } from '../support/raw-mail.ts';
import { fixtures } from './mail/fixtures.ts';

for (const [subject, table] of Object.entries(fixtures))
  describe(subject, () => {
    for (const { name, mail, expect } of table)
      test(name, async () => {
        const { content } = await normalize(rawMail(mail), new Date(0));
        for (const [field, value] of Object.entries(expect)) {
          const found: unknown = content[field as keyof MailContent];
          assert.partialDeepStrictEqual({ [field]: found }, { [field]: value });
          // A part of an array would do for the assertion above.
          if (Array.isArray(found)) assert.equal(found.length, Object(value).length, field);
        }
        const parsed: MailContent = mailContentSchema.parse(content);
        assert.deepEqual(parsed, content);
      });
  });

test('there are 300 mails or more, of as many names', () => {
  const names = Object.values(fixtures).flatMap((table) => table.map(({ name }) => name));
  assert.ok(names.length >= 300, `${names.length} mails`);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  assert.deepEqual(twice, []);
});
