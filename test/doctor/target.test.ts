import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { endStatus } from '../../src/admin/status.ts'
import { forwardFindings } from '../../src/doctor/forward.ts'
import { headerFinding, longestHeader } from '../../src/doctor/header.ts'
import { type HeaderVerdict, judge, reactionsOf } from '../../src/doctor/target.ts'
import { ProxyHeaderError, parseProxyHeader } from '../../src/proxy/proxy-header.ts'
import { parts } from '../admin/sample.ts'

/** Targets of every kind, and what the doctor says of the header that they are sent. */

const forward = endStatus(parts()).forwards.find(forward => forward.protocol === 'tcp')!

type Speaks = (socket: Socket) => void

/** Reads a header of at most `most` bytes and goes on with `then`; closes behind everything else. */
const expecting = (then: Speaks, most = 4096): Speaks => {
  return socket => {
    socket.once('data', (bytes: Buffer) => {
      try {
        const header = parseProxyHeader(bytes, 'any')
        if (header !== undefined && header.length <= most) then(socket)
        else if (header !== undefined) socket.resetAndDestroy()
      } catch (error) {
        if (!(error instanceof ProxyHeaderError)) throw error
        socket.end()
      }
    })
  }
}
const waits: Speaks = socket => void socket.resume()
const greets: Speaks = socket => void socket.resume().write('220 at your service\r\n')
const complains: Speaks = socket => {
  socket.on('data', bytes =>
    socket.write('500 what?\r\n'.repeat(bytes.toString('latin1').split('\n').length)),
  )
}
const answers400: Speaks = socket =>
  void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))

async function asked(t: Test, speaks: Speaks, version: 'v1' | 'v2', longest = 107) {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    speaks(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const reactions = await reactionsOf('127.0.0.1', port, version, longest)
  if ('error' in reactions) throw new Error(reactions.error)
  return reactions
}

const kinds: readonly (readonly [
  what: string,
  speaks: Speaks,
  sends: HeaderVerdict,
  sendsNone: HeaderVerdict,
])[] = [
  ['expects a header, and waits for a request', expecting(waits), 'fits', 'missing'],
  ['expects a header, and greets behind it', expecting(greets), 'fits', 'missing'],
  [
    'expects a header, and answers by itself',
    expecting(socket => void socket.end('Sun Nov 29\r\n')),
    'fits',
    'missing',
  ],
  ['is silent whatever comes', waits, 'unknown', 'unknown'],
  ['closes on anything', socket => void socket.once('data', () => socket.end()), 'closes', 'closes'],
  [
    'resets on anything',
    socket => void socket.once('data', () => socket.resetAndDestroy()),
    'closes',
    'closes',
  ],
  ['closes at once', socket => void socket.resume().end(), 'closes', 'closes'],
  ['answers 400, and closes', answers400, 'unexpected', 'none'],
  ['complains of each line, and goes on', complains, 'unexpected', 'none'],
  ['repeats what it is sent', socket => void socket.pipe(socket), 'unexpected', 'none'],
  ['greets, and waits', greets, 'unknown', 'unknown'],
  [
    'greets, and complains of each line',
    socket => {
      greets(socket)
      complains(socket)
    },
    'unexpected',
    'none',
  ],
  [
    'greets, and closes on what is no header',
    socket => {
      greets(socket)
      expecting(waits)(socket)
    },
    'fits',
    'none',
  ],
]

t.test('of each kind', async t => {
  const all = kinds.flatMap(kind => (['v1', 'v2'] as const).map(version => ({ kind, version })))
  const found = await Promise.all(all.map(({ kind, version }) => asked(t, kind[1], version)))
  all.forEach(({ kind: [what, , sends, sendsNone], version }, index) => {
    const reactions = found[index]!
    t.equal(judge(true, reactions), sends, `${version}, one that ${what}: ${JSON.stringify(reactions)}`)
    t.equal(judge(false, reactions), sendsNone, 'the same, sent no header')
  })
})

t.test(
  'one that greets whatever it was sent, and says of the first command that there was no header',
  async t => {
    const exim: Speaks = socket => {
      socket.once('data', (bytes: Buffer) => {
        const isHeader = bytes.toString('latin1').includes('\0\r\nQUIT')
        socket.write('220 at your service\r\n')
        socket.on('data', () => socket.write(isHeader ? '500 unrecognized\r\n' : '503 no negotiation\r\n'))
      })
    }
    t.equal(judge(true, await asked(t, exim, 'v2')), 'fits')
  },
)

t.test('one that takes a short header, and not one as long as the forward may send', async t => {
  const cases = [
    [107, 107, 'fits'],
    [108, 107, 'too-long'],
    [1536, 1040, 'too-long'],
    [1536, 1536, 'fits'],
  ] as const
  const found = await Promise.all(
    cases.map(([longest, most]) => asked(t, expecting(waits, most), 'v2', longest)),
  )
  cases.forEach(([longest, most, verdict], index) => {
    t.equal(judge(true, found[index]!), verdict, `${longest} bytes where ${most} are taken`)
  })
  const lengths = [47, 50, 107, 1074, 1077, 1536]
  const sent = await Promise.all(
    lengths.map(async longest => {
      let most = 0
      const measures = (socket: Socket) =>
        void socket.on('data', (bytes: Buffer) => {
          most = Math.max(most, bytes.length)
        })
      await asked(t, measures, 'v2', longest)
      return most
    }),
  )
  t.same(sent, lengths, 'it is as long as it says')
})

t.test('how long a header a forward may send', async t => {
  const [target] = forward.targets
  const of = (changes: object, routes?: readonly string[]) => {
    const to = { ...target!, routes } as typeof target & object
    return longestHeader({ ...forward, proxyHeaderLimit: 107, targets: [to], ...changes }, to)
  }
  const v4 = { acceptProxy: false, listeners: ['192.0.2.1:443'] } as const
  const any = { acceptProxy: false, listeners: [':443'] } as const
  t.equal(of(v4), 47, 'addresses and UNIQUE_ID')
  t.equal(of(any), 71)
  t.equal(of({ ...any, proxyHeaderLimit: 52 }), 52)
  t.equal(of(v4, ['a.example', 'www.example.com']), 47 + 3 + 15, 'the longest name')
  t.equal(of(v4, ['a.example', 'x'.repeat(60)]), 107, 'as much of it as fits')
  t.equal(of(v4, ['*.example.com']), 107, 'names that nobody knows')
  t.equal(
    of({ ...v4, targets: [{ ...target!, routes: ['a.example'] }, target!] }),
    107,
    'for all other names',
  )
  t.equal(
    of({ acceptProxy: 'any', listeners: ['192.0.2.1:443'], proxyHeaderLimit: 600 }),
    600,
    'what is received',
  )
})

t.test('a target that resets right behind the header is named', async t => {
  const down = { ...parts().forwards[0]!.targets[0]!, state: 'down' as const, error: 'ECONNREFUSED' }
  const of = async (headerResets: number) => {
    const forwards = [{ ...parts().forwards[0]!, targets: [down], headerResets }]
    const findings = await forwardFindings(endStatus(parts({ forwards })))
    return findings.filter(({ found }) => /right behind the PROXY header/.test(found))
  }
  t.same(await of(0), [])
  t.match(await of(12), [
    {
      step: 'clients of https',
      state: 'warning',
      found: /^12 were reset by the target/,
      fix: /forwards\.https\.proxyHeaderLimit is 107/,
    },
  ])
})

t.test('what is said of each', async t => {
  const said = (verdict: HeaderVerdict) =>
    headerFinding('target of web', forward, forward.targets[0]!, verdict, 107)
  const states = {
    fits: 'ok',
    none: 'ok',
    'too-long': 'failed',
    missing: 'failed',
    unexpected: 'failed',
    closes: 'unknown',
    unknown: 'unknown',
  } as const
  for (const [verdict, state] of Object.entries(states))
    t.equal(said(verdict as HeaderVerdict).state, state, verdict)
  t.match(said('too-long'), { found: /not one of 107 bytes/, fix: /forwards\.\w+\.proxyHeaderLimit/ })
  t.match(said('fits').found, /takes a PROXY header \(v2, up to 107 bytes\)/)
})
