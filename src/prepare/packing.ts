import type { RawMail } from '../core/raw-mail.ts';
import type { PrepareTask } from './prepare-mail.ts';

/*
 * What goes between threads. The bytes of a group lie in one buffer that changes hands: copied on its own, a view
 * takes all of the memory behind it along, which for a small Buffer is the pool of many.
 */

type Span = { start: number; end: number };

export type PackedTasks = {
  bytes: ArrayBuffer;
  tasks: { task: Omit<PrepareTask, 'mail'>; mail: Omit<RawMail, 'bytes'>; span: Span }[];
};

export function packTasks(tasks: readonly PrepareTask[]): PackedTasks {
  const { bytes, spans } = pack(tasks.map(({ mail }) => mail.bytes));
  return {
    bytes,
    tasks: tasks.map(({ mail: { bytes: _, ...mail }, ...task }, index) => ({
      task,
      mail,
      span: spans[index] ?? { start: 0, end: 0 },
    })),
  };
}

export function unpackTasks({ bytes, tasks }: PackedTasks): PrepareTask[] {
  return tasks.map(({ task, mail, span }) => ({ ...task, mail: { ...mail, bytes: viewOf(bytes, span) } }));
}

function pack(parts: readonly Uint8Array[]): { bytes: ArrayBuffer; spans: Span[] } {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  const spans = parts.map((part) => {
    const start = end;
    bytes.set(part, start);
    end = start + part.length;
    return { start, end };
  });
  return { bytes: bytes.buffer, spans };
}

const viewOf = (bytes: ArrayBuffer, { start, end }: Span) => Buffer.from(bytes, start, end - start);
