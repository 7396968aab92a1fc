import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import { filesHang } from '../files/file-turns.ts'
import { digestOf, readText } from './file.ts'

/** Milliseconds from the first event to the look: an editor or the kubelet makes several at once. */
const settleTime = 100
/** Milliseconds between two looks without an event: some mounts have no inotify, and links may point elsewhere. */
const pollInterval = 10_000

/**
 * Tells when the content of one of a few files has changed.
 *
 * Watches their folders, not the files: an editor puts a new file in the place of the old one, and the kubelet swaps
 * the `..data` link that the files of a ConfigMap or Secret lead through. Only content counts, so a touched file is
 * no change, and a file that cannot be read is one content among others.
 */
export class FileWatch {
  readonly #changed: () => void
  readonly #poll: NodeJS.Timeout
  #files: ReadonlyMap<string, string> = new Map()
  #watchers: FSWatcher[] = []
  #settle: NodeJS.Timeout | undefined

  constructor(changed: () => void, options: { readonly pollInterval?: number } = {}) {
    this.#changed = changed
    this.#poll = setInterval(() => void this.look(), options.pollInterval ?? pollInterval).unref()
  }

  /** From now on these: path to the digest of the content that is known already. */
  follow(files: ReadonlyMap<string, string>): void {
    this.#unwatch()
    this.#files = new Map(files)
    // inotify asks the file system, and all of the program would wait for one that hangs. The poll still looks.
    const folders = filesHang() ? [] : Array.from(files.keys(), dirname)
    for (const folder of new Set(folders)) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#event())
        watcher.on('error', () => watcher.close())
        this.#watchers.push(watcher)
      } catch {
        // No such folder, or no inotify watch left: the poll still looks.
      }
    }
    // What changed between the reading and the watching made no event.
    this.#event()
  }

  /** Compares now. */
  async look(): Promise<void> {
    const files = this.#files
    const now = new Map<string, string>()
    for (const path of files.keys()) now.set(path, digestOf(await readText(path)))
    if (files !== this.#files || [...now].every(([path, digest]) => files.get(path) === digest)) return
    this.#files = now
    this.#changed()
  }

  close(): void {
    clearInterval(this.#poll)
    this.#unwatch()
  }

  #event(): void {
    this.#settle ??= setTimeout(() => {
      this.#settle = undefined
      void this.look()
    }, settleTime)
  }

  #unwatch(): void {
    clearTimeout(this.#settle)
    this.#settle = undefined
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers = []
  }
}
