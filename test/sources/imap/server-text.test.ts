import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanServerText } from '../../../src/sources/imap/server-text.ts';

const PASSWORD = 'correct horse "battery" \\ staple é';
const TOKEN = 'ya29.a0AfB_byC-1234567890';
const base64 = (text: string) => Buffer.from(text).toString('base64');

const CASES: [string, text: string, expected: string][] = [
  ['plain words', 'Invalid credentials (Failure)', 'Invalid credentials (Failure)'],
  ['control characters', 'a\u0000b\r\nc\u001b[31m d', 'abc[31m d'],
  ['other letters', 'échec de connexion', 'chec de connexion'],
  ['spaces', '  a    b ', 'a b'],
  ['a long text', 'x'.repeat(1000), 'x'.repeat(200)],
  ['a token', `bad token ${TOKEN}!`, 'bad token ***!'],
  ['a password', `LOGIN bob ${PASSWORD} is wrong`, 'LOGIN bob *** is wrong'],
  ['a quoted password', `LOGIN bob "correct horse \\"battery\\" \\\\ staple é"`, 'LOGIN bob "***"'],
  ['a secret with a control character in it', `${TOKEN.slice(0, 9)}\u0007${TOKEN.slice(9)}`, '***'],
  ['PLAIN in base64', `AUTHENTICATE PLAIN ${base64(`\0bob\0${PASSWORD}`)}`, 'AUTHENTICATE PLAIN ***'],
  ['XOAUTH2 in base64', base64(`user=bob\x01auth=Bearer ${TOKEN}\x01\x01`), '***'],
  ['other base64', base64('{"status":"400"}'), base64('{"status":"400"}')],
  ['a secret where the text is cut', `${'y'.repeat(190)} ${TOKEN}`, `${'y'.repeat(190)} ***`],
  ['nothing', '', ''],
];
for (const [name, text, expected] of CASES)
  test(`cleans ${name}`, () => assert.equal(cleanServerText(text, ['', TOKEN, PASSWORD]), expected));

test('hides the longer of two secrets whole', () => {
  assert.equal(cleanServerText('abcdef abc', ['abc', 'abcdef']), '*** ***');
});
