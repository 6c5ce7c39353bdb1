/** A mail of the scripted INBOX; raw has CR LF line ends. */
export type ScriptedMail = { raw: string | Buffer; uid?: number; flags?: string; internalDate?: string };

export type StoredMail = { raw: Buffer; uid: number; flags: string; internalDate: string };

export type ScriptedMailbox = {
  /** By sequence number, changed at will: nothing holds UIDs in order here but the test. */
  mails: StoredMail[];
  uidNext: number;
  uidValidity: number;
  add(mail: ScriptedMail): number;
  /** The rows a FETCH or UID FETCH answers, with every item a client may ask for that it asked for. */
  fetch(set: string, items: string, isUid: boolean): Buffer[];
};

export function createScriptedMailbox(mails: readonly ScriptedMail[], uidValidity: number): ScriptedMailbox {
  const mailbox: ScriptedMailbox = { mails: [], uidNext: 1, uidValidity, add, fetch };

  function add({ raw, uid = mailbox.uidNext, flags = '', internalDate }: ScriptedMail): number {
    const date = internalDate ?? '20-Nov-2026 10:00:00 +0000';
    mailbox.mails.push({ raw: Buffer.from(raw), uid, flags, internalDate: date });
    mailbox.uidNext = Math.max(mailbox.uidNext, uid + 1);
    return uid;
  }

  function fetch(set: string, items: string, isUid: boolean): Buffer[] {
    const numberOf = (mail: StoredMail, index: number) => (isUid ? mail.uid : index + 1);
    const all = mailbox.mails.map((mail, index) => ({ mail, index, number: numberOf(mail, index) }));
    const last = Math.max(0, ...all.map(({ number }) => number));
    return all
      .filter(({ number }) => isInSet(number, set, last))
      .map(({ mail, index }) => fetchRow(index + 1, mail, items, isUid));
  }

  for (const mail of mails) add(mail);
  return mailbox;
}

/** `1:3,7,9:*`; a range may be written from either end, and `*` is the largest number there is (RFC 9051 9). */
function isInSet(number: number, set: string, last: number): boolean {
  return set.split(',').some((part) => {
    const ends = part.split(':').map((end) => (end === '*' ? last : Number(end)));
    return number >= Math.min(...ends) && number <= Math.max(...ends);
  });
}

function fetchRow(sequence: number, mail: StoredMail, items: string, isUid: boolean): Buffer {
  const asked = items.toUpperCase();
  const parts: (string | Buffer)[] = [];
  const put = (...bytes: (string | Buffer)[]) => parts.push(parts.length === 0 ? '' : ' ', ...bytes);
  if (isUid || /\bUID\b/.test(asked)) put(`UID ${mail.uid}`);
  if (/\b(FLAGS|ALL|FAST|FULL)\b/.test(asked)) put(`FLAGS (${mail.flags})`);
  if (/\b(INTERNALDATE|ALL|FAST|FULL)\b/.test(asked)) put(`INTERNALDATE "${mail.internalDate}"`);
  if (/\b(RFC822\.SIZE|ALL|FAST|FULL)\b/.test(asked)) put(`RFC822.SIZE ${mail.raw.length}`);
  for (const [, section = '', from, length] of asked.matchAll(
    /BODY(?:\.PEEK)?\[([^\]]*)\](?:<(\d+)\.(\d+)>)?/g,
  )) {
    const whole = section.startsWith('HEADER') ? headerOf(mail.raw) : mail.raw;
    const start = Number(from ?? 0);
    const bytes = from === undefined ? whole : whole.subarray(start, start + Number(length));
    const origin = from === undefined ? '' : `<${start}>`;
    put(`BODY[${section}]${origin} {${bytes.length}}\r\n`, bytes);
  }
  return Buffer.concat([`* ${sequence} FETCH (`, ...parts, ')'].map((part) => Buffer.from(part)));
}

/** With the blank line that ends it. */
function headerOf(raw: Buffer): Buffer {
  const end = raw.indexOf('\r\n\r\n');
  return end === -1 ? raw : raw.subarray(0, end + 4);
}
