/**
 * Whether a message is no mail that came in, by its own Gmail labels: a list of labels on the history would miss what a
 * filter moves. A draft is saved under a new id each time; mail to oneself is both sent and in the inbox.
 *
 * @param settings what the owner of a source chose to have beside received mail.
 */
export function isPassedOver(
  labels: readonly string[],
  { sent = false }: { sent?: boolean | undefined },
): boolean {
  return labels.includes('DRAFT') || (!sent && labels.includes('SENT') && !labels.includes('INBOX'));
}
