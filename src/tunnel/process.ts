import { type ChildProcess, spawn as spawnProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCode } from '../errors.ts'
import { withOwnFile } from '../files/file-turns.ts'
import type { Log } from '../log/log.ts'
import { keepChild } from '../process/children.ts'
import { memoryLimit } from '../process/memory-limit.ts'
import { softLimit } from './memory.ts'

/** One run of wireguard-go, whoever started it. */
export interface Process {
  /** Unknown for an adopted one. */
  readonly pid: number | undefined
  /** How it ended. Never rejects. */
  readonly exited: Promise<string>
  /** Ends it; resolves when it is gone, or when all that can be done was done. */
  stop(): Promise<void>
}

export type Spawn = typeof spawnProcess

/** Milliseconds between asking it to end and giving up on that. */
const patience = 3000

/** Starts wireguard-go on a device that exists. That it runs means nothing yet: it is ready when it answers. */
export async function startProcess(options: {
  readonly binary: string
  readonly interface: string
  readonly log: Log
  readonly spawn?: Spawn
  /** Whether Ctrl-C can happen. */
  readonly hasTerminal?: boolean
}): Promise<Process> {
  const { binary, log } = options
  const limit = await memoryLimit()
  const child = (options.spawn ?? spawnProcess)(binary, ['-f', options.interface], {
    // Ctrl-C reaches all of the terminal's processes, and the tunnel has to outlive it while connections drain. Only
    // there: a session of its own is a scheduling group of its own (sched(7), autogroup), which costs half the speed.
    detached: options.hasTerminal ?? hasTerminal(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      // Without it wireguard-go prints a banner that recommends the kernel module.
      WG_PROCESS_FOREGROUND: '1',
      LOG_LEVEL: log.isLevelEnabled('debug') ? 'verbose' : 'error',
      PATH: process.env.PATH,
      ...(limit === undefined ? {} : { GOMEMLIMIT: String(softLimit(limit)) }),
    },
  })
  keepChild(child)
  relayLines(child.stdout, log)
  relayLines(child.stderr, log)
  const exited = exitOf(child)
  return {
    pid: child.pid,
    exited,
    async stop() {
      child.kill('SIGTERM')
      if (await endsInTime(exited)) return
      child.kill('SIGKILL')
      if (!(await endsInTime(exited)))
        log.warn({ pid: child.pid }, 'wireguard-go does not end, though killed')
    },
  }
}

/**
 * Takes over a wireguard-go whose supervisor was killed. It is nobody's child now: that it ends shows by its end of
 * the connection `watch`, and removing its socket is how to end it. What it logs goes into a pipe without a reader,
 * and Go ends a program for that (os/signal, SIGPIPE): its first log line may be its last, and then it is simply
 * started again.
 */
export function adoptProcess(watch: Socket, socketPath: string, log: Log): Process {
  // Not events.once: that rejects when the connection is reset, as by a process that is killed.
  const exited = new Promise<string>(resolve => watch.resume().once('close', () => resolve('ended')))
  return {
    pid: undefined,
    exited,
    async stop() {
      await removeSocket(socketPath).catch(() => {})
      if (await endsInTime(exited)) return
      watch.destroy()
      log.warn({ socket: socketPath }, 'adopted wireguard-go does not end')
    },
  }
}

/** A connection to whoever serves this socket; `undefined` when nobody does, and then the stale file is removed. */
export async function reach(socketPath: string): Promise<Socket | undefined> {
  const socket = connect({ path: socketPath })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(patience) })
    return socket.on('error', () => {})
  } catch {
    socket.on('error', () => {}).destroy()
    await removeSocket(socketPath)
    return undefined
  }
}

function removeSocket(path: string): Promise<void> {
  return withOwnFile(path, () => rm(path, { force: true }))
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    child.once('error', error => resolve(`could not be run: ${systemCode(error) ?? error.message}`))
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exited with status ${code}` : `killed by ${signal}`),
    )
  })
}

async function endsInTime(exited: Promise<string>): Promise<boolean> {
  const timer = new AbortController()
  const late = sleep(patience, false, { signal: timer.signal }).catch(() => false)
  const ended = await Promise.race([exited.then(() => true), late])
  timer.abort()
  return ended
}

/** `DEBUG: (wg0) 2026/05/22 10:11:12 text` becomes a log line of that level; what Go prints when it panics, a warning. */
function relayLines(stream: Readable, log: Log): void {
  createInterface({ input: stream }).on('line', text => {
    const match = /^(DEBUG|ERROR): \([^)]*\) \d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d (.*)$/.exec(text)
    const line = (match?.[2] ?? text).replace(keyText, '(key)')
    // A gateway whose peer has not called yet; health says so, once.
    if (match?.[1] === 'DEBUG' || line.includes('no known endpoint for peer'))
      log.debug({ line }, 'wireguard-go')
    else if (match?.[1] === 'ERROR') log.error({ line }, 'wireguard-go')
    else log.warn({ line }, 'wireguard-go')
  })
}

/** A key in hex or base64. wireguard-go logs shortened public keys only; this stands behind that. */
const keyText = /[0-9a-f]{64}|[A-Za-z0-9+/]{43}=/g
