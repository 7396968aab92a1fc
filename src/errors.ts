/**
 * Every error that this program raises on purpose. A `code` is stable: logs, metrics and tests rely on it.
 * `fix` is what the person at the keyboard should do, one sentence in the imperative.
 */
export type ErrorCode =
  | 'USAGE' // the command line
  | 'CONFIG_INVALID' // the config file, wg0.conf or a key file
  | 'FOLDER' // the folder for new files is taken, or not writable
  | 'BINARY_MISSING' // no wireguard-go to run
  | 'DEVICE_UNAVAILABLE' // /dev/net/tun, NET_ADMIN
  | 'INTERFACE_TAKEN' // an interface of that name that is not ours, or another running end
  | 'RUN_FOLDER' // /var/run/wireguard is not writable
  | 'IP_FAILED' // a call of ip(8)
  | 'TUNNEL_PROCESS' // wireguard-go did not start, or did not answer
  | 'UAPI' // wireguard-go refused an operation
  | 'LISTEN_FAILED' // a listen address is not to be had
  | 'UNRESOLVED' // a name without an address
  | 'UNREACHABLE' // the running end does not answer
  | 'OUTPUT' // stdout takes nothing

const exitCodes: Partial<Record<ErrorCode, number>> = { USAGE: 2, CONFIG_INVALID: 3 }

export class EndError extends Error {
  readonly code: ErrorCode
  readonly fix: string | undefined

  constructor(code: ErrorCode, message: string, options: { fix?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'EndError'
    this.code = code
    this.fix = options.fix
  }

  /** The exit status of a command that ends with this error: 1 failed, 2 usage, 3 config invalid. */
  get exitCode(): number {
    return exitCodes[this.code] ?? 1
  }

  /** Message and fix as one line for a person. */
  get line(): string {
    return this.fix === undefined ? this.message : `${this.message}. ${this.fix}`
  }
}

/** What is wrong with a command line, on one line. */
export function usageError(what: string): EndError {
  return new EndError('USAGE', what.replaceAll('\n', ' '), {
    fix: '`wg-punchhole help` lists the commands and their flags',
  })
}

/** Whether a code of a system error says that this process, or its host, has no file descriptor left. */
export function isOutOfFiles(code: string | undefined): boolean {
  return code === 'EMFILE' || code === 'ENFILE'
}

/** The `code` of a system error (`ECONNREFUSED`), or `undefined`. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** What went wrong as text, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
