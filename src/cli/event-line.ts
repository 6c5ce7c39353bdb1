import type { LoggedEvent } from './follow-events.ts';
import { colour, visible } from './print.ts';

/** An event for a person: when, what, and of whom or what. */
export function describeEvent({ timestamp, type, data }: LoggedEvent): string {
  const text = (key: string) => (typeof data[key] === 'string' ? visible(data[key]) : '');
  const about = type === 'message.received' ? `${text('address')}  ${text('subject')}` : text('reason');
  return `${colour('dim', timestamp)}  ${type}  ${about}`;
}
