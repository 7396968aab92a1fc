import { readFileSync } from 'node:fs'
import t from 'tap'
import { Lab } from '../lab/lab.ts'
import { retry } from '../lab/retry.ts'
import { type BackEnd, backEnds, startBackEnds } from './back-ends.ts'

/**
 * What docs/reverse-proxies.md and src/proxy/v1.ts say of other people's programs, tried on them: which headers they
 * take, how long these may be, and what `doctor` makes of it.
 */
const lab = await Lab.create()
t.teardown(() => lab.close())
const host = await lab.host('back-ends')
await startBackEnds(lab, host)
const ports = backEnds.flatMap(({ port, hasPlain }) => (hasPlain ? [port, port + 1] : [port]))
for (const port of [...ports, 7102])
  await retry(() => host.exec('bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`))

/** A header of version 2 as hex: PROXY, TCP over IPv4 from 203.0.113.7, filled up with NOOP. */
function headerOf(length: number): string {
  const header = Buffer.alloc(length)
  header.write('\r\n\r\n\0\r\nQUIT\n\x21\x11', 'latin1')
  header.writeUInt16BE(length - 16, 14)
  Buffer.from([203, 0, 113, 7, 127, 0, 0, 1, 0x30, 0x39, 0, 80]).copy(header, 16)
  if (length > 28) {
    header[28] = 4
    header.writeUInt16BE(length - 31, 29)
  }
  return header.toString('hex')
}

/** What a client gets that begins with this header: what shows that it is served, or how it fails. */
function ask({ speaks }: Pick<BackEnd, 'speaks'>, port: number, header: string): Promise<string> {
  return host.run(
    async ({ speaks, port, header }) => {
      const { connect } = await import('node:net')
      const tls = await import('node:tls')
      return new Promise<string>(resolve => {
        const socket = connect(port, '127.0.0.1')
        let got = ''
        const settle = (how: string) => {
          socket.destroy()
          resolve(`${got} ${how}`)
        }
        socket.setTimeout(8000, () => settle('time-out'))
        socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? ''))
        socket.on('end', () => settle('end'))
        const bytes = Buffer.from(header, 'hex')
        if (speaks === 'tls') {
          socket.on('connect', () => {
            // The header, and behind it at once the ClientHello.
            socket.cork()
            socket.write(bytes)
            const inner = tls.connect({ socket, rejectUnauthorized: false })
            process.nextTick(() => socket.uncork())
            inner.on('error', error => settle(error.message))
            inner.on('secureConnect', () => inner.write('GET / HTTP/1.0\r\n\r\n'))
            inner.on('data', chunk => {
              got += chunk
              if (got.includes('\r\n\r\n')) settle('served')
            })
          })
          return
        }
        const request = speaks === 'http' ? 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' : ''
        socket.on('connect', () => socket.write(Buffer.concat([bytes, Buffer.from(request)])))
        // What is said to the greeting: EHLO, a login, or MySQL's handshake of root without a password.
        const handshake = Buffer.concat([
          Buffer.from([84, 0, 0, 1, 0x85, 0xa6, 0x0f, 0, 0, 0, 0, 1, 33]),
          Buffer.alloc(23),
          Buffer.from('root\0\0mysql_native_password\0'),
        ])
        handshake.writeUIntLE(handshake.length - 4, 0, 3)
        const reply = { smtp: 'EHLO a.example\r\n', imap: 'a capability\r\n', mysql: handshake }
        const isServed = {
          smtp: /\r\n(250|5\d\d) .*\r\n/,
          imap: /\r\na OK/,
          mysql: /\0\0\0\x02\0\0\0$/,
          http: /\r\n\r\n/,
          text: /\n/,
        }
        socket.on('data', chunk => {
          if (got === '' && speaks in reply) socket.write(reply[speaks as keyof typeof reply])
          got += chunk.toString('latin1')
          if (isServed[speaks as keyof typeof isServed].test(got)) settle('served')
        })
      })
    },
    { speaks, port, header },
  )
}

/** Whether it was served as who the header tells, where the answer shows that. */
function isServed({ name, speaks }: BackEnd, answer: string): boolean {
  if (speaks === 'smtp') return /\r\n250 /.test(answer)
  const shows = /^(nginx|Apache|Varnish|Caddy|HAProxy)/.test(name)
  return answer.endsWith(' served') && (!shows || /203\.0\.113\.7/.test(answer))
}

const page = readFileSync(new URL('../../docs/reverse-proxies.md', import.meta.url), 'utf8')

/** What the page's table says. */
function bytesOf(name: string): number {
  const row = page.split('\n').find(line => line.startsWith(`| ${name} |`))
  return Number(row?.split('|')[2]?.trim().replaceAll(',', ''))
}

t.test('the longest header that each takes', async t => {
  await Promise.all(
    backEnds.map(async backEnd => {
      const most = bytesOf(backEnd.name)
      const longest = await ask(backEnd, backEnd.port, headerOf(most))
      t.ok(isServed(backEnd, longest), `${backEnd.name} takes ${most} bytes: ${JSON.stringify(longest)}`)
      const longer = await ask(backEnd, backEnd.port, headerOf(most + 1))
      t.notOk(isServed(backEnd, longer), `${backEnd.name}, a byte more: ${JSON.stringify(longer)}`)
    }),
  )
})

const text = (line: string) => Buffer.from(line).toString('hex')
const full = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'

t.test('who refuses which header of a client without an address, and of a check', async t => {
  const refusing = async (header: (backEnd: BackEnd) => string) => {
    const answers = await Promise.all(
      backEnds.map(async backEnd => {
        const answer = await ask(backEnd, backEnd.port, header(backEnd))
        const isServed =
          backEnd.speaks === 'smtp'
            ? /\r\n250 /.test(answer)
            : /served$/.test(answer) && !/ 400 /.test(answer)
        return isServed ? [] : [backEnd.name]
      }),
    )
    return answers.flat()
  }
  const refused = {
    'UNKNOWN, short': await refusing(() => text('PROXY UNKNOWN\r\n')),
    'UNKNOWN, long': await refusing(() => text(`PROXY UNKNOWN ${full} ${full} 65535 65535\r\n`)),
    UNSPEC: await refusing(() => '0d0a0d0a000d0a515549540a21000000'),
    LOCAL: await refusing(() => '0d0a0d0a000d0a515549540a20000000'),
    'the ends of the connection': await refusing(({ port }) =>
      text(`PROXY TCP4 127.0.0.1 127.0.0.1 40000 ${port}\r\n`),
    ),
  }
  t.same(refused, {
    'UNKNOWN, short': ['Apache mod_remoteip', 'Varnish', 'Postfix'],
    'UNKNOWN, long': ['Varnish', 'Postfix', 'HAProxy'],
    UNSPEC: ['Apache mod_remoteip', 'Exim (heavy)', 'MariaDB', 'Postfix', 'Dovecot', 'Caddy', 'HAProxy'],
    LOCAL: [],
    'the ends of the connection': [],
  })
})

t.test('what doctor says of each', async t => {
  const source = (file: string) => new URL(`../../src/${file}`, import.meta.url).href
  const verdict = (port: number, version: 'v1' | 'v2', longest: number, sends: boolean) =>
    host.run(
      async ({ target, port, version, longest, sends }) => {
        const { judge, reactionsOf } = (await import(target)) as typeof import('../../src/doctor/target.ts')
        const reactions = await reactionsOf('127.0.0.1', port, version, longest)
        return 'error' in reactions ? reactions.error : judge(sends, reactions)
      },
      { target: source('doctor/target.ts'), port, version, longest, sends },
    )
  // Caddy and MariaDB go on without a header.
  const optional = ['Caddy', 'MariaDB']
  // It waits for the end of a request, whatever this begins with.
  const patient = ['Varnish']
  const patientWithLines = [...patient, 'lighttpd']
  const ask = async ({ name, port, hasPlain }: BackEnd) => {
    const most = bytesOf(name)
    t.equal(await verdict(port, 'v1', 107, true), 'fits', `${name}, v1`)
    t.equal(await verdict(port, 'v2', 107, true), 'fits', `${name}, v2`)
    if (most < 1536) t.equal(await verdict(port, 'v2', 1536, true), 'too-long', `${name}, 1536 bytes`)
    t.equal(
      await verdict(port, 'v2', 107, false),
      optional.includes(name) ? 'none' : 'missing',
      `${name}, none sent`,
    )
    if (!hasPlain) return
    for (const version of ['v1', 'v2'] as const) {
      const isUnknown = (version === 'v1' ? patientWithLines : patient).includes(name)
      t.equal(
        await verdict(port + 1, version, 107, true),
        isUnknown ? 'unknown' : 'unexpected',
        `${name} without it, ${version}`,
      )
    }
    const plain = patient.includes(name) ? 'unknown' : 'none'
    t.equal(await verdict(port + 1, 'v2', 107, false), plain, `${name} without it, none sent`)
  }
  await Promise.all(backEnds.map(ask))
})

t.test('Caddy serves connections from elsewhere, and ignores what their header says', async t => {
  const answer = await ask({ speaks: 'http' }, 7102, headerOf(47))
  t.match(answer, /200 OK[\s\S]*from 127\.0\.0\.1 served$/)
})
