import { isUdpTest, type TestName } from './measure.ts'
import type { Path } from './network.ts'
import type { NetworkName } from './networks.ts'

/** What is measured in one life of a contender's processes. */
export interface Session {
  readonly network: NetworkName
  readonly path?: Path
  readonly tests: readonly TestName[]
}

/** Those in which `tests` are measured on a network, one after the other. */
export function sessionsOn(network: NetworkName, tests: readonly TestName[]): Session[] {
  const only = (accepts: (test: TestName) => boolean) => tests.filter(accepts)
  const sessions: Record<NetworkName, Session[]> = {
    clean: [
      // Memory is measured in fresh processes, and traffic in others: the idle connections stay open.
      { network, tests: only(isMemoryTest) },
      { network, tests: only(test => isTrafficTest(test) && test !== 'ttfb') },
      { network, path: { delay: 20, loss: 0 }, tests: only(test => test === 'ttfb') },
    ],
    lossy: [{ network, path: lossyPath, tests: only(isTrafficTest) }],
    clean1: [{ network, tests: only(test => isTrafficTest(test) && test !== 'ttfb') }],
    lossy1: [{ network, path: lossyPath, tests: only(isTrafficTest) }],
    udp: [{ network, tests: only(isUdpTest) }],
  }
  return sessions[network].filter(session => session.tests.length > 0)
}

const lossyPath: Path = { delay: 20, loss: 0.01 }

/** Those that want fresh processes. */
function isMemoryTest(test: TestName): boolean {
  return test === 'startup' || test === 'idle'
}

export function isTrafficTest(test: TestName): boolean {
  return !isMemoryTest(test) && !isUdpTest(test)
}
