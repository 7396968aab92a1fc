import { setTimeout as sleep } from 'node:timers/promises'
import { EndError, usageError } from '../errors.ts'
import { answerTimeout, readFlags, runFolder } from '../text/flags.ts'
import { print, readerGone } from '../text/print.ts'
import { ask, findUrl } from './client.ts'

/** The commands that ask the running end. `health` is a probe every few seconds: it loads nothing but node: modules. */

/** Milliseconds between two looks of `status --watch` and of `status --wait`. */
const watchInterval = 2_000
const waitInterval = 200

export async function health(args: string[]): Promise<number> {
  const flags = readFlags(args, {
    live: { type: 'boolean' },
    ready: { type: 'boolean' },
    url: { type: 'string' },
  })
  if (flags.live && flags.ready) throw usageError('--live and --ready exclude each other')
  const url = flags.url ?? (await findUrl(runFolder))
  const answer = await ask(url, flags.live ? '/livez' : '/readyz', answerTimeout)
  print(answer.body)
  return answer.status === 200 ? 0 : 1
}

export async function status(args: string[]): Promise<number> {
  const { formatStatus } = await import('./view.ts')
  const flags = readFlags(args, {
    json: { type: 'boolean' },
    watch: { type: 'boolean' },
    wait: { type: 'string' },
    url: { type: 'string' },
  })
  const url = flags.url ?? (await findUrl(runFolder))
  const show = async () => {
    const { status, body } = await ask(url, '/status.json', answerTimeout)
    if (status !== 200) throw new EndError('UNREACHABLE', `${url} answered ${status}: ${body.trim()}`)
    const color = process.stdout.isTTY && !process.env.NO_COLOR
    return flags.json ? body : `${formatStatus(JSON.parse(body), { color })}\n`
  }
  if (flags.wait !== undefined) await waitUntilReady(url, flags.wait)
  if (!flags.watch) {
    print(await show())
    return 0
  }
  while (!readerGone()) {
    // Home and clear below the new text, not the whole screen before it: no flicker. A slow reader gets the newest later.
    if (!process.stdout.writableNeedDrain) print(`\x1b[H${(await show()).replaceAll('\n', '\x1b[K\n')}\x1b[J`)
    await sleep(watchInterval)
  }
  return 0
}

async function waitUntilReady(url: string, duration: string): Promise<void> {
  const { DURATION, parseDuration } = await import('../config/field.ts')
  const ms = parseDuration(duration)
  if (ms === undefined) throw usageError(`--wait ${duration} is not ${DURATION}`)
  const deadline = performance.now() + ms
  for (;;) {
    const last = await ask(url, '/readyz', answerTimeout).catch((error: EndError) => error)
    if (!(last instanceof EndError) && last.status === 200) return
    if (performance.now() >= deadline) {
      const why = last instanceof EndError ? last.message : last.body.trim()
      throw new EndError('UNREACHABLE', `${url} was not ready within ${duration}: ${why}`)
    }
    await sleep(waitInterval)
  }
}
