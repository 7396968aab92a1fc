import type { Host } from './lab.ts'

/** Records of one type, or how a question for them fails. `silence`: it is not answered. */
export type Records = readonly string[] | 'SERVFAIL' | 'REFUSED' | 'NXDOMAIN' | 'silence'

/**
 * What there is, by lower-case name; `*.home.example` is every name below that is not there itself. A type that is left
 * out is NODATA, a name that is left out NXDOMAIN. Answers hold for a second.
 */
export type Zone = Readonly<Record<string, { readonly A?: Records; readonly AAAA?: Records }>>

/** A name server on port 53 of an address of a host, which says what the test wants at any moment. */
export interface NameServer {
  say(zone: Zone): Promise<void>
  /** Questions since the last time that this was asked: `A web.home.example`. */
  asked(): Promise<string[]>
}

export async function startNameServer(host: Host, address = '127.0.0.1'): Promise<NameServer> {
  await host.run(async (address, { state }) => {
    const { createSocket } = await import('node:dgram')
    const types: Record<number, 'A' | 'AAAA'> = { 1: 'A', 28: 'AAAA' }
    const codes: Record<string, number> = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 }
    const asked: string[] = []
    state.set('asked', asked)
    state.set('zone', {})
    const server = createSocket('udp4')
    const words = (text: string) => {
      if (!text.includes(':')) return text.split('.').map(Number)
      const address = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
        [a * 256 + +b, c * 256 + +d].map(word => word.toString(16)).join(':'),
      )
      const [left = [], right = []] = address.split('::').map(half => half.split(':').filter(Boolean))
      const all = [...left, ...new Array(8 - left.length - right.length).fill('0'), ...right]
      return all.flatMap(word => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255])
    }
    // RFC 1035 section 4.1: one question, answers that point to its name.
    server.on('message', (query, from) => {
      const labels: string[] = []
      let at = 12
      for (; query[at]! > 0; at += query[at]! + 1)
        labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!).toLowerCase())
      const type = types[query.readUInt16BE(at + 1)]
      const zone = state.get('zone') as Zone
      const name = labels.join('.')
      const stars = labels.map((_, i) => ['*', ...labels.slice(i + 1)].join('.'))
      const entry = [name, ...stars].map(key => zone[key]).find(found => found !== undefined)
      const said = entry === undefined ? 'NXDOMAIN' : ((type && entry[type]) ?? [])
      asked.push(`${type} ${name}`)
      if (said === 'silence') return
      const records = typeof said === 'string' ? [] : said.map(words)
      const code = typeof said === 'string' ? codes[said]! : 0
      const answers = records.map(data => [
        0xc0,
        12,
        0,
        data.length === 4 ? 1 : 28,
        0,
        1,
        0,
        0,
        0,
        1,
        0,
        data.length,
        ...data,
      ])
      const head = [query[0]!, query[1]!, 0x81, 0x80 | code, 0, 1, 0, records.length, 0, 0, 0, 0]
      const question = query.subarray(12, at + 5)
      server.send(Buffer.from([...head, ...question, ...answers.flat()]), from.port, from.address)
    })
    await new Promise<void>(resolve => server.bind(53, address, resolve))
  }, address)
  return {
    say: zone => host.run((zone, { state }) => void state.set('zone', zone), zone),
    asked: () => host.run((_, { state }) => (state.get('asked') as string[]).splice(0)),
  }
}
