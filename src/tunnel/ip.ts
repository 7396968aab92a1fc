import { execFile } from 'node:child_process'
import { EndError, messageOf, systemCode } from '../errors.ts'

/** Runs ip(8) with these arguments, `input` on its stdin, and gives its stdout. */
export type Ip = (args: readonly string[], input?: string) => Promise<string>

/** Milliseconds. It is a few netlink calls: what takes longer never ends. */
const timeout = 1500

/**
 * With `-force` lines of a batch may fail: what the others printed is given.
 *
 * @throws EndError DEVICE_UNAVAILABLE without the right to do it, IP_FAILED otherwise.
 */
export const ip: Ip = (args, input = '') =>
  new Promise((resolve, reject) => {
    const child = execFile('ip', args, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      clearTimeout(timer)
      const someLinesFailed = args.includes('-force') && typeof error?.code === 'number'
      if (error === null || someLinesFailed) resolve(stdout)
      else reject(failure(args, error, stderr))
    })
    // One that waits in the kernel for a lock cannot even be killed: nobody waits for its end.
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      reject(new EndError('IP_FAILED', `ip ${args.join(' ')} failed: did not end within ${timeout} ms`))
    }, timeout)
    // ip(8) stops reading at the first line of a batch that fails; its exit tells, not the broken pipe.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })

/** Several changes with one start of ip(8), in order; the first that fails ends the batch, those before it stay. */
export async function ipBatch(run: Ip, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await run(['-batch', '-'], `${lines.join('\n')}\n`)
}

/**
 * The answers to several questions (`route get …`) with one start of ip(8), each as it prints it in JSON, numbers for
 * names. A question that fails has no answer.
 */
export async function ipAnswers(run: Ip, questions: readonly string[]): Promise<unknown[]> {
  if (questions.length === 0) return []
  const options = ['-N', '-json', '-details', '-force', '-batch', '-']
  const text = await run(options, `${questions.join('\n')}\n`)
  const lines = text.split('\n').filter(line => line.startsWith('['))
  return lines.flatMap(line => JSON.parse(line) as unknown[])
}

function failure(args: readonly string[], error: Error, stderr: string): EndError {
  if (systemCode(error) === 'ENOENT')
    return new EndError('IP_FAILED', 'the program ip is not installed', {
      fix: 'Install iproute2',
      cause: error,
    })
  const said = stderr.trim().replaceAll('\n', '; ')
  if (said.includes('Operation not permitted'))
    return new EndError('DEVICE_UNAVAILABLE', `no right to change network interfaces (ip: ${said})`, {
      fix: 'Run as root with the capability NET_ADMIN (--cap-add NET_ADMIN), or set tunnel.mode to netstack',
      cause: error,
    })
  return new EndError('IP_FAILED', `ip ${args.join(' ')} failed: ${said || messageOf(error)}`, {
    cause: error,
  })
}
