/** What Gmail's IMAP calls its own labels, and a folder its use, in small letters; what its API calls them. */
const SYSTEM_LABELS: ReadonlyMap<string, string> = new Map([
  ['\\inbox', 'INBOX'],
  ['\\sent', 'SENT'],
  ['\\draft', 'DRAFT'],
  ['\\drafts', 'DRAFT'],
  ['\\important', 'IMPORTANT'],
  ['\\starred', 'STARRED'],
  ['\\flagged', 'STARRED'],
  ['\\spam', 'SPAM'],
  ['\\junk', 'SPAM'],
  ['\\trash', 'TRASH'],
]);

const SYSTEM_IDS = new Set(SYSTEM_LABELS.values());

/**
 * The labels of a Gmail message as the API would name them, so that a mail is placed alike however it came in: ids of
 * system labels and categories, but the names of a person's own labels, since IMAP does not tell their ids. Each once.
 *
 * Gmail leaves the label of the selected folder out of X-GM-LABELS, so the folder's role adds its own.
 *
 * @param labels X-GM-LABELS as imapflow gives them: decoded from modified UTF-7, without quotes, `\Inbox` with one
 *   backslash. A person's own label is never taken for one of Gmail's: one that is called `DRAFT` is left out.
 * @param folderRole special use of the folder (RFC 6154, `\Junk`), in any case; null if none. `\All` says nothing.
 * @param categories ids (`CATEGORY_PROMOTIONS`) that searches told; IMAP's labels lack them.
 *
 * Source: https://developers.google.com/workspace/gmail/imap/imap-extensions
 */
export function gmailLabelsOf(
  labels: Iterable<string>,
  folderRole: string | null,
  categories: readonly string[],
): string[] {
  const found = new Set<string>();
  for (const label of labels) {
    const id = label.startsWith('\\') ? SYSTEM_LABELS.get(label.toLowerCase()) : findOwnLabel(label);
    if (id !== undefined) found.add(id);
  }
  const ofFolder = SYSTEM_LABELS.get(folderRole?.toLowerCase() ?? '');
  if (ofFolder !== undefined) found.add(ofFolder);
  for (const category of categories) found.add(category);
  return [...found];
}

function findOwnLabel(name: string): string | undefined {
  return name === '' || SYSTEM_IDS.has(name) || name.startsWith('CATEGORY_') ? undefined : name;
}
