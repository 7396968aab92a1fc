import type { Config } from './config/config.ts'
import { formatShown } from './config/issues.ts'
import type { Loaded } from './config/load.ts'
import { FileWatch } from './config/watch.ts'
import { EndError } from './errors.ts'
import type { Log } from './log/log.ts'
import type { Reason } from './reason.ts'

/** What became of the config since the start; part of /status.json. Times are on performance.now()'s clock. */
export interface ReloadStatus {
  readonly file: string
  /** When the config that runs was taken. */
  readonly since: number
  readonly reloads: number
  readonly rejections: number
  /** Why the newest one was refused; the one before it runs on. */
  readonly rejected: Rejection | undefined
}

export interface Rejection {
  readonly since: number
  /** How many errors there are. */
  readonly count: number
  /** A line for each of the first, and one that counts the others. */
  readonly errors: readonly string[]
}

export interface ReloadOptions {
  /** The config that runs, with the files that it came from. */
  readonly loaded: Loaded & { readonly config: Config }
  readonly load: () => Promise<Loaded>
  /** Makes the difference between two configs; rejects with an `EndError` when nothing was changed. */
  readonly apply: (now: Config, before: Config) => Promise<void>
  readonly log: Log
}

/**
 * Takes a changed config while the end runs: when one of its files changes, or on SIGHUP. A bad one is refused as a
 * whole, with its errors in the log, in the status, in `config-rejected` and in a metric, and the old one goes on.
 */
export class Reload {
  readonly #options: ReloadOptions
  readonly #watch = new FileWatch(() => this.request())
  #config: Config
  #since = performance.now()
  #reloads = 0
  #rejections = 0
  #rejected: Rejection | undefined
  #running: Promise<void> | undefined
  #again = false

  constructor(options: ReloadOptions) {
    this.#options = options
    this.#config = options.loaded.config
    this.#watch.follow(options.loaded.files)
  }

  get config(): Config {
    return this.#config
  }

  /** One reload at a time; one more when this comes while it runs. */
  request(): void {
    this.#again = this.#running !== undefined
    this.#running ??= this.#reload().finally(() => {
      this.#running = undefined
      if (this.#again) this.request()
    })
  }

  status(): ReloadStatus {
    return {
      file: this.#config.file,
      since: this.#since,
      reloads: this.#reloads,
      rejections: this.#rejections,
      rejected: this.#rejected,
    }
  }

  reasons(): Reason[] {
    if (this.#rejected === undefined) return []
    const { errors, count } = this.#rejected
    const more = count === 1 ? '' : ` (and ${count - 1} more)`
    return [
      {
        code: 'config-rejected',
        detail: `the changed config is refused, the old one runs: ${errors[0]}${more}`,
      },
    ]
  }

  /** No reload begins after this; one that runs is waited for. */
  async close(): Promise<void> {
    this.#watch.close()
    this.#again = false
    await this.#running
  }

  async #reload(): Promise<void> {
    const { load, apply, log } = this.#options
    const { config, files, ...shown } = await load()
    this.#watch.follow(files)
    for (const warning of formatShown(shown, ['warning'])) log.warn({ warning }, 'config warning')
    if (config === undefined) {
      const { error } = shown.more
      const count = shown.issues.filter(({ severity }) => severity === 'error').length + error
      this.#reject(formatShown(shown, ['error']), count)
      return
    }
    try {
      await apply(config, this.#config)
    } catch (error) {
      if (!(error instanceof EndError)) throw error
      this.#reject([error.line], 1)
      return
    }
    this.#config = config
    this.#since = performance.now()
    this.#reloads++
    this.#rejected = undefined
    log.info({ file: config.file }, 'config reloaded')
  }

  #reject(errors: readonly string[], count: number): void {
    this.#rejections++
    this.#rejected = { since: performance.now(), count, errors }
    this.#options.log.error({ file: this.#config.file, errors }, 'config refused, the old one goes on')
  }
}
