/** What a program did at each sample of a profile, by the stack that perf(1) found; see pass.ts. */

export const steps = {
  epoll: 'sleep and wake up (`epoll_wait`)',
  read: '`read`, `recv`: from the socket',
  write: '`write`, `send`: through TCP to the device',
  kernel: 'other work of the kernel',
  native: 'the program in C or C++ (Node, libuv, V8)',
  builtins: "JavaScript: V8's builtins and interpreter",
  compiled: 'JavaScript: compiled',
  libc: 'the C library',
} as const

export type Step = keyof typeof steps
export const stepNames = Object.keys(steps) as Step[]

/** System calls, by the names that the kernel's entries have. */
const calls: readonly (readonly [RegExp, Step])[] = [
  [/sys_epoll_/, 'epoll'],
  [/sys_(read|readv|recvfrom|recvmsg)\b/, 'read'],
  [/sys_(write|writev|sendto|sendmsg|sendmmsg)\b/, 'write'],
]

/**
 * How many samples each step has. Both texts are of `perf script -F ip,sym,dso`: `chains` has the kernel's stack of each sample,
 * its frames from the innermost to the outermost; `leaves`, with `--hide-call-graph`, where each sample was, of the
 * program's own, too.
 */
export function countSteps(chains: string, leaves: string): Record<Step, number> {
  const counts = Object.fromEntries(stepNames.map(name => [name, 0])) as Record<Step, number>
  for (const chain of chains.split(/\n\n+/)) {
    const frames = framesOf(chain)
    if (frames[0] === undefined) continue
    const call = calls.find(([pattern]) => frames.some(({ symbol }) => pattern.test(symbol)))
    counts[call?.[1] ?? 'kernel']++
  }
  for (const leaf of framesOf(leaves)) if (!isKernel(leaf)) counts[stepOf(leaf)]++
  return counts
}

function framesOf(text: string): Frame[] {
  return text.split('\n').flatMap(line => parseFrame(line) ?? [])
}

interface Frame {
  readonly symbol: string
  /** The file that it is in, without its folder. */
  readonly object: string
}

/** Of `    7f0a12 uv__read+0x1b (/usr/bin/node)`; what is unknown stands in brackets. */
function parseFrame(line: string): Frame | undefined {
  const match = /^\s*[0-9a-f]+ (.+) \((.+)\)$/.exec(line)
  if (match === null) return undefined
  return { symbol: match[1]!.replace(/\+0x[0-9a-f]+$/, ''), object: match[2]!.split('/').at(-1)! }
}

function isKernel({ object }: Frame): boolean {
  return object.startsWith('[kernel') || object.startsWith('[guest.kernel')
}

/** Of the program itself. */
function stepOf({ symbol, object }: Frame): Step {
  if (/^libc[.-]/.test(object)) return 'libc'
  if (symbol.startsWith('Builtins_')) return 'builtins'
  // Code that was made while it ran is in no file, or in the map of one.
  if (/^(\[unknown\]|\[anon|anon$|\/\/anon|\[JIT\]|perf-\d+\.map$)/.test(object)) return 'compiled'
  return 'native'
}
