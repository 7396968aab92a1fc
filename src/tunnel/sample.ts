import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { memoryLimit } from '../process/memory-limit.ts'
import type { Running } from './bring-up.ts'
import { hardLimit, residentBytes } from './memory.ts'
import type { Device } from './uapi-codec.ts'

/** Milliseconds between two samples. */
const interval = 1000
/** Milliseconds without an answer after which a wireguard-go that still runs counts as dead. */
const answerWithin = 10_000

/**
 * Samples the device once a second while this wireguard-go runs, so that what is shown of it is at hand.
 * One that no longer answers, or takes too much memory, is ended; whoever waits for its exit goes on from there.
 */
export async function sample(
  { process, uapi }: Pick<Running, 'process' | 'uapi'>,
  take: (device: Device) => void,
  options: { readonly log: Log; readonly now: () => number; readonly limit?: number | undefined },
): Promise<void> {
  const { log, now, limit = await memoryLimit() } = options
  const over = new AbortController()
  void process.exited.then(() => over.abort())
  const { signal } = over
  let answeredAt = now()
  for (;;) {
    await sleep(interval, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    const resident = limit === undefined || process.pid === undefined ? undefined : residentBytes(process.pid)
    if (resident !== undefined && resident > hardLimit(limit!)) {
      log.error(
        { residentBytes: resident, limitBytes: limit },
        'wireguard-go takes too much memory, ending it',
      )
      await process.stop()
      continue
    }
    try {
      const device = await uapi.get()
      if (signal.aborted) return
      answeredAt = now()
      take(device)
    } catch (error) {
      if (signal.aborted || now() - answeredAt < answerWithin) continue
      log.error({ error: messageOf(error) }, 'wireguard-go does not answer, ending it')
      await process.stop()
    }
  }
}
