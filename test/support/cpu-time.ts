/** Processor time of this thread so far, in ms: what bounds the cost of work on a machine that does other things too. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
