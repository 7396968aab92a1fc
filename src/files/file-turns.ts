/**
 * File operations with an end. A file system whose server is away (NFS, FUSE) answers neither yes nor no, and each call
 * that waits for it has one of the four threads that Node has for files, for as long as it does: with all of them gone
 * nothing works that needs a file or a name.
 */

/** Threads for files that people name; the others are for what always answers, such as /proc. */
const mostThreads = 2
/** Milliseconds that an operation has, its wait for its turn among them. */
const patience = 5000

/** A file that does not answer. Its path is in the message. */
export class FileHangs extends Error {
  constructor(path: string) {
    super(
      `${path} did not answer within ${patience / 1000} s: its file system hangs, as a network mount does whose server is away; bring that back, or name a file on another one`,
    )
    this.name = 'FileHangs'
  }
}

interface Turn {
  readonly path: string
  begin(): void
}

/** Paths with an operation under way; one at a time each. */
const running = new Set<string>()
/** Those of them whose time is over. */
const hanging = new Set<string>()
const waiting: Turn[] = []

/**
 * Does something with a file of the run folder, which is this host's own: what hangs elsewhere does not keep an end from
 * clearing it.
 *
 * @throws FileHangs after 5 s; what `work` rejects with.
 */
export async function withOwnFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new FileHangs(path)), patience)
  try {
    return await Promise.race([work(), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** Whether anything hangs now. */
export function filesHang(): boolean {
  return hanging.size > 0
}

/**
 * Does something with the file at `path`, in as many steps as it takes. What hangs cannot be ended: until it answers
 * nothing else is done with this path, and with two that hang nothing with any.
 *
 * @throws FileHangs after 5 s, or at once for a file that is known to hang; what `work` rejects with.
 */
export function inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const [hung] = hanging
    if (hanging.has(path) || (hung !== undefined && hanging.size >= mostThreads)) {
      reject(new FileHangs(hanging.has(path) ? path : hung!))
      return
    }
    const turn: Turn = {
      path,
      begin() {
        running.add(path)
        void work()
          .then(resolve, reject)
          .finally(() => {
            clearTimeout(timer)
            running.delete(path)
            hanging.delete(path)
            beginNext()
          })
      },
    }
    const timer = setTimeout(() => {
      const place = waiting.indexOf(turn)
      if (place >= 0) waiting.splice(place, 1)
      else hanging.add(path)
      reject(new FileHangs(place >= 0 ? ([...hanging][0] ?? path) : path))
    }, patience)
    waiting.push(turn)
    beginNext()
  })
}

function beginNext(): void {
  while (running.size < mostThreads) {
    const place = waiting.findIndex(({ path }) => !running.has(path))
    if (place < 0) return
    waiting.splice(place, 1)[0]!.begin()
  }
}
