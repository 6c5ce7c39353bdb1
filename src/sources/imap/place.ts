/** A folder under one of its UIDVALIDITYs, as RFC 5092 (11) writes it: `INBOX;UIDVALIDITY=385759045`. */
export function placeOf(path: string, uidValidity: number): string {
  return `${encodeURIComponent(path)};UIDVALIDITY=${uidValidity}`;
}

/** What a mail is called in stubs: `INBOX;UIDVALIDITY=385759045/;UID=20`. */
export function mailPlaceOf(path: string, uidValidity: number, uid: number): string {
  return `${placeOf(path, uidValidity)}/;UID=${uid}`;
}

export type MailPlace = { path: string; uidValidity: number; uid: number };

/** @returns undefined for what is none. */
export function parseMailPlace(text: string): MailPlace | undefined {
  const [, path, uidValidity, uid] = /^([^;]*);UIDVALIDITY=(\d{1,10})\/;UID=(\d{1,10})$/.exec(text) ?? [];
  if (path === undefined) return undefined;
  return { path: decodeURIComponent(path), uidValidity: Number(uidValidity), uid: Number(uid) };
}
