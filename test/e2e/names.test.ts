import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Lab } from '../lab/lab.ts'

/** Names against a name server of the test's own, in a namespace with its own resolv.conf. */
const lab = await Lab.create(`n${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('host')

await host.run(async () => {
  const { createSocket } = await import('node:dgram')
  // RFC 1035 section 4: A of web.home.example, AAAA of six.example, nothing else exists.
  const records: Record<string, [type: number, data: number[]]> = {
    'web.home.example': [1, [192, 0, 2, 7]],
    'six.example': [28, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]],
  }
  const server = createSocket('udp4')
  server.on('message', (query, from) => {
    const labels: string[] = []
    let at = 12
    for (; query[at]! > 0; at += query[at]! + 1)
      labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!))
    const [type, data] = records[labels.join('.')] ?? [0, []]
    const asked = query.readUInt16BE(at + 1)
    const answer = type === asked ? [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length, ...data] : []
    const code = type === 0 ? 3 : 0
    const head = [query[0]!, query[1]!, 0x81, 0x80 | code, 0, 1, 0, answer.length > 0 ? 1 : 0, 0, 0, 0, 0]
    server.send(
      Buffer.concat([Buffer.from(head), query.subarray(12, at + 5), Buffer.from(answer)]),
      from.port,
      from.address,
    )
  })
  await new Promise<void>(resolve => server.bind(53, '127.0.0.1', resolve))
})

const conf = join(lab.folder, 'resolv.conf')
await writeFile(conf, 'nameserver 127.0.0.1\nsearch home.example\n')
const module = join(import.meta.dirname, '../../src/resolve.ts')

async function resolve(name: string): Promise<string> {
  const script = `import { Names } from '${module}'
    console.log(await new Names().resolve('${name}').then(found => found.join(' '), error => error.code + ' ' + error.message))`
  const bind = 'mount --bind "$1" /etc/resolv.conf && exec "$2" --input-type=module --eval "$3"'
  return (await host.exec('unshare', '-m', 'sh', '-c', bind, 'sh', conf, process.execPath, script)).trim()
}

t.test('A by the search list, AAAA, and a name that is nowhere', async t => {
  t.equal(await resolve('web'), '192.0.2.7')
  t.equal(await resolve('six.example'), '2001:db8::6')
  t.match(await resolve('nowhere.example'), /^UNRESOLVED no address for nowhere\.example \(getaddrinfo/)
})

t.test('a silent address does not keep a connection from the next one', async t => {
  const peer = await lab.host('peer')
  await lab.link(host, ['198.51.100.1/24'], peer, ['198.51.100.2/24'])
  await peer.run(async () => {
    const { createServer } = await import('node:net')
    await new Promise<void>(resolve => createServer().listen(7000, '198.51.100.2', resolve))
  })
  // Nobody has 198.51.100.9: the first attempt hears nothing until its neighbour discovery fails, seconds later.
  const file = (name: string) => join(import.meta.dirname, `../../src/forward/${name}.ts`)
  const script = `import { Dial } from '${file('dial')}'
    import { Descriptors } from '${file('../descriptors')}'
    import { Upstream } from '${file('upstream')}'
    const resolve = async () => ['198.51.100.9', '198.51.100.2']
    const upstream = new Upstream({ name: 'web', descriptors: new Descriptors(9999), resolve, changed() {} })
    upstream.configure({ targets: [{ host: 'web.example', first: 7000, last: 7000 }], balance: 'first', check: false })
    const dialled = (target, socket) => {
      console.log(socket.remoteAddress, upstream.status().map(({ state, error }) => state + ' ' + error).join(', '))
      process.exit()
    }
    new Dial(upstream, 0, { ways: { shut() {}, astray() {} }, linkTo() {}, attemptFailed() {}, dialled, dialFailed: console.log }).next()`
  t.equal(
    (await host.exec(process.execPath, '--input-type=module', '--eval', script)).trim(),
    '198.51.100.2 down it was slow to answer, unknown undefined',
    'and is asked last for a while',
  )
})
