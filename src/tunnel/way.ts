import { canonical } from '../address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { type Ip, ipAnswers } from './ip.ts'

/** Of rtnetlink(7), as ip(8) prints them with -N: RTN_LOCAL; RTN_BLACKHOLE, RTN_UNREACHABLE and RTN_PROHIBIT. */
const local = '2'
const barred: ReadonlySet<string> = new Set(['6', '7', '8'])

/** TCP by its number (RFC 9293): its name is in /etc/protocols, which slim images have not got. */
const tcp = 6

/** What `ip route get` answers. */
export interface Answer {
  readonly dst: string
  /** `::` as well where the question has none. */
  readonly from?: string
  readonly type: string
  readonly dev?: string
  readonly prefsrc?: string
}

/** How the kernel routes an address that is the tunnel's. */
export interface Way {
  /** `through`: into the device. `none`: there is no route, so nothing leaves. `elsewhere`: out through another device. */
  readonly leads: 'through' | 'none' | 'elsewhere'
  /** The source that the kernel takes. */
  readonly source: string | undefined
  readonly why: string
}

/** The kernel's answers by question, `ADDRESS` and `ADDRESS from SOURCE`: a rule may go by the source, and by TCP. */
export async function askRoutes(
  ip: Ip,
  pairs: readonly (readonly [string, string | undefined])[],
): Promise<Map<string, Answer>> {
  const questions = pairs.flatMap(([address, source]) =>
    source === undefined ? [address] : [address, `${address} from ${source}`],
  )
  const answers = (await ipAnswers(
    ip,
    questions.map(text => `route get ${text} ipproto ${tcp}`),
  )) as Answer[]
  return new Map(
    answers.map(answer => {
      const { dst, from = '::' } = answer
      return [from === '::' ? canonical(dst) : `${canonical(dst)} from ${canonical(from)}`, answer]
    }),
  )
}

/** What the look-ups for an address say, the one without a source and the one with it. */
export function wayOf(
  address: string,
  answers: ReadonlyMap<string, Answer>,
  { interface: name, addresses }: TunnelConfig,
): Way {
  const [first, source] = [answers.get(address), answers.get(address)?.prefsrc]
  const second = source === undefined ? first : answers.get(`${address} from ${source}`)
  if (first === undefined || second === undefined || barred.has(first.type) || barred.has(second.type))
    return { leads: 'none', source, why: 'there is no route to it' }
  const isOwn = addresses.some(own => canonical(own.address) === address)
  const other = [first, second].find(({ type, dev }) => (type === local ? !isOwn : dev !== name))
  if (other === undefined) return { leads: 'through', source, why: '' }
  if (other.type === local)
    return { leads: 'elsewhere', source, why: 'another interface of this host has it' }
  return { leads: 'elsewhere', source, why: `its route leads out through ${other.dev}` }
}
