import { z } from 'zod';
import { messageSchema } from './message.ts';
import {
  type EventType,
  endpointSchema,
  gapSchema,
  probeSchema,
  sourceSchema,
  sourceStateSchema,
} from './resources.ts';

const sourceChange = z.object({
  source: sourceSchema,
  previous: sourceStateSchema.optional().describe('Its state before'),
  reason: z.string().nullish(),
});
const gapChange = z.object({ gap: gapSchema });
const endpointChange = z.object({ endpoint: endpointSchema, reason: z.string().nullish() });
const probeChange = z.object({ probe: probeSchema });

/** What each type of event means, and what its `data` is. */
export const EVENTS: Record<EventType | 'endpoint.test', { summary: string; data: z.ZodType }> = {
  'message.received': { summary: 'A mail was stored', data: messageSchema },
  'source.state_changed': {
    summary: 'A source began to fail, needs a person, or is well again',
    data: sourceChange,
  },
  'source.silent': { summary: 'Nothing was heard of a source for too long', data: sourceChange },
  'source.recovered': { summary: 'A source is alive again', data: sourceChange },
  'source.disabled': { summary: 'A source was given up, until a person starts it', data: sourceChange },
  'gap.opened': { summary: 'A stretch of history could not be read', data: gapChange },
  'gap.recovered': { summary: 'What was to be had of a gap is stored', data: gapChange },
  'endpoint.disabled': {
    summary: 'Another endpoint gets no more webhooks, until it is enabled',
    data: endpointChange,
  },
  'probe.completed': { summary: 'A probe arrived in every mailbox, or is known not to', data: probeChange },
  'probe.expired': { summary: 'A probe did not arrive everywhere in time', data: probeChange },
  'endpoint.test': {
    summary: 'Asked for by POST /v1/endpoints/{id}/test, whatever the types of the endpoint',
    data: endpointChange,
  },
};
