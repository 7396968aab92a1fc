import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { inTurn } from './file-turns.ts'

/** 1 MiB: far above any config; keeps a wrong path such as /dev/zero from filling the memory. */
const mostBytes = 1 << 20
const mostChunk = 64 * 1024
/** Milliseconds that the writer of a pipe has from one piece to the next, and between two looks. */
const pipePatience = 4000
const pipeInterval = 20

/** What is not read, and why; the message begins with its path and ends with what to do. */
export class NotReadable extends Error {}

export interface SmallFile {
  readonly text: string
  /** Of the file itself, not of a link to it. */
  readonly mode: number
  /** It is gone now: whoever reads again gets nothing. */
  readonly isPipe: boolean
}

/**
 * Reads a file of at most 1 MiB as UTF-8, in a time that has an end. A plain open(2) of a FIFO waits until somebody
 * writes to it; this one does not.
 *
 * @param options.pipes whether a pipe will do, such as `<(…)` of a shell: only for who reads it once.
 * @throws NotReadable for what is no file, or too large; FileHangs (file-turns.ts); an error of open(2) or read(2).
 */
export function readSmallFile(
  path: string,
  { pipes = false }: { readonly pipes?: boolean } = {},
): Promise<SmallFile> {
  return inTurn(path, async () => {
    await using file = await opened(path)
    const kind = await file.stat()
    const isPipe = kind.isFIFO()
    if (kind.isDirectory()) throw Object.assign(new Error(`${path} is a folder`), { code: 'EISDIR' })
    if (isPipe && !pipes)
      throw new NotReadable(
        `${path} is a pipe (FIFO), which can be read once; put a file in its place, or name one`,
      )
    if (!isPipe && !kind.isFile()) throw new NotReadable(`${path} is a device, no file; name the right file`)
    // Files of the kernel have no size.
    const chunkBytes = kind.size > 0 ? Math.min(kind.size + 1, mostChunk) : mostChunk
    return { text: await textOf(file, { path, isPipe, chunkBytes }), mode: kind.mode, isPipe }
  })
}

async function opened(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants
  try {
    return await open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
  } catch (error) {
    // A socket, or a device without a driver.
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error
    throw new NotReadable(`${path} is a socket or a device, no file; name the right file`)
  }
}

async function textOf(
  file: FileHandle,
  { path, isPipe, chunkBytes }: { path: string; isPipe: boolean; chunkBytes: number },
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = Buffer.allocUnsafe(chunkBytes)
    const bytes = isPipe ? await readPipe(file, path, chunk) : (await file.read(chunk)).bytesRead
    if (bytes === 0 && isPipe && length === 0)
      throw new NotReadable(`${path} is a pipe that nobody writes to; name a file`)
    if (bytes === 0) return Buffer.concat(chunks).toString('utf8')
    length += bytes
    if (length > mostBytes) throw new NotReadable(`${path} has more than 1 MiB; name the right file`)
    chunks.push(chunk.subarray(0, bytes))
  }
}

/** What a pipe has now; 0 at its end. */
async function readPipe(file: FileHandle, path: string, chunk: Buffer): Promise<number> {
  const deadline = performance.now() + pipePatience
  for (;;) {
    try {
      return (await file.read(chunk)).bytesRead
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
    if (performance.now() >= deadline)
      throw new NotReadable(`${path} is a pipe whose writer wrote nothing for 4 s; name a file`)
    await sleep(pipeInterval)
  }
}
