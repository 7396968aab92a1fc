import t from 'tap'
import { startTlsServers } from './tls.ts'
import { ready, startOurs, type Topology, topology } from './topology.ts'

/** Routes by server name with real TLS: at the gateway (port 443) and at the cluster end (port 444), behind both. */

const gatewayForwards = `forwards:
  here:
    listen: ":443"
    target: "10.1.10.2:7002"
    routes:
      one.example.com: "10.1.10.2:7001"
      "*.apps.example.com": "10.1.10.2:7003"
  there: { listen: ":444", target: "10.1.10.2:444" }
  only: { listen: ":445", target: "10.1.10.2:445" }
`
const clusterForwards = `forwards:
  one: { listen: "tunnel:7001", target: "127.0.0.1:8441" }
  two: { listen: "tunnel:7002", target: "127.0.0.1:8442" }
  three: { listen: "tunnel:7003", target: "127.0.0.1:8443" }
  there:
    listen: "tunnel:444"
    target: "127.0.0.1:8442"
    routes:
      one.example.com: "127.0.0.1:8441"
      "*.apps.example.com": "127.0.0.1:8443"
  only:
    listen: "tunnel:445"
    routes: { one.example.com: "127.0.0.1:8441" }
    timeouts: { header: 1s }
`

/** What curl gets for a name, or how it failed. */
async function ask({ client }: Topology, name: string, port: number, ...options: string[]): Promise<string> {
  const where = ['--resolve', `${name}:${port}:203.0.113.1`, `https://${name}:${port}/`]
  const args = ['--silent', '--insecure', '--http1.1', '--max-time', '10', ...options, ...where]
  return client.exec('curl', ...args).catch(({ code }) => `curl ${code}`)
}

/** What OpenSSL's own client gets. */
function openssl({ client }: Topology, port: number, ...options: string[]): Promise<string> {
  const request = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1"
  const args = ['-quiet', '-connect', `203.0.113.1:${port}`, ...options].join(' ')
  return client.exec('sh', '-c', `(${request}) | timeout 10 openssl s_client ${args} 2>/dev/null | tail -n 1`)
}

for (const link of [true, false])
  t.test(link ? 'over the link' : 'one by one', async t => {
    const world = await topology()
    t.teardown(() => world.lab.close())
    await startTlsServers(world)
    const both = link ? '' : 'link: false\n'
    const gateway = await startOurs(world, 'gateway', both + gatewayForwards)
    const cluster = await startOurs(world, 'cluster', both + clusterForwards)
    await ready(gateway, cluster)
    if (link) {
      // The first one may be too early for a link, and shows that the path is there.
      await ask(world, 'one.example.com', 444)
      await gateway.logged(({ msg }) => msg === 'link up')
    }

    for (const port of [443, 444]) {
      const where = port === 443 ? 'at the gateway' : 'at the cluster end'
      t.equal(await ask(world, 'one.example.com', port), 'one one.example.com 203.0.113.7\n', where)
      t.equal(
        await ask(world, 'ONE.example.com', port, '--tls-max', '1.2'),
        'one one.example.com 203.0.113.7\n',
      )
      t.equal(await ask(world, 'two.example.com', port), 'two two.example.com 203.0.113.7\n', 'not in routes')
      t.equal(
        await ask(world, 'a.b.apps.example.com', port),
        'haproxy a.b.apps.example.com 203.0.113.7 authority=a.b.apps.example.com\n',
        'a wildcard, and AUTHORITY all the way',
      )
      t.equal(await ask(world, 'apps.example.com', port), 'two apps.example.com 203.0.113.7\n')
      const split = ['-max_send_frag', '512', '-tls1_3']
      t.equal(
        await openssl(world, port, '-servername', 'one.example.com', ...split),
        'one one.example.com 203.0.113.7\n',
      )
      t.equal(await openssl(world, port, '-noservername'), 'two  203.0.113.7\n', 'no name')
      const plain = await world.client.exec(
        'curl',
        '-s',
        '-i',
        '--max-time',
        '10',
        `http://203.0.113.1:${port}/`,
      )
      t.match(plain, /400 The plain HTTP request was sent to HTTPS port/, 'not TLS: to the target')
      t.equal(
        await world.client.run(inSingleBytes, port),
        'one one.example.com 203.0.113.7\n',
        'in single bytes',
      )
    }

    t.equal(await ask(world, 'one.example.com', 445), 'one one.example.com 203.0.113.7\n', 'without a target')
    t.match(await ask(world, 'two.example.com', 445), /^curl (35|56)$/, 'reset')
    const said = Date.now()
    t.equal(await world.client.run(silent, 445), 'ECONNRESET', 'a client that sends nothing')
    t.ok(Date.now() - said > 900)
    const refused = { msg: 'connection refused', forward: 'only' }
    const line = { ...refused, reason: 'no-route', client: /^203\.0\.113\.7:/ }
    t.match(await cluster.logged(({ reason }) => reason === 'no-route'), {
      ...line,
      detail: 'two.example.com',
    })
    t.match(await cluster.logged(({ reason }) => reason === 'hello-timeout'), refused)
    if (link) {
      const told = await gateway.logged(({ reason }) => reason === 'no-route')
      t.match(told, { ...line, detail: 'by the other end: two.example.com' })
      t.match(await gateway.logged(({ reason }) => reason === 'hello-timeout'), refused)
    }
    const ended = await gateway.logged(({ serverName }) => serverName === 'a.b.apps.example.com')
    t.match(ended, { msg: 'connection ended', forward: 'here', target: '10.1.10.2:7003' })
    t.notMatch(cluster.output + gateway.output, /unexpected error/)
  })

/** A TLS client of which each byte goes out by itself. Runs in an agent. */
async function inSingleBytes(port: number): Promise<string> {
  const { connect } = await import('node:net')
  const tls = await import('node:tls')
  const { Duplex } = await import('node:stream')
  const tcp = connect({ host: '203.0.113.1', port, noDelay: true })
  const drip = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      let at = 0
      const next = () => {
        if (at === chunk.length) done()
        else tcp.write(chunk.subarray(at, ++at), () => setTimeout(next, at % 20 === 0 ? 1 : 0))
      }
      next()
    },
  })
  tcp.on('data', chunk => drip.push(chunk))
  tcp.on('end', () => drip.push(null))
  const client = tls.connect({ socket: drip, servername: 'one.example.com', rejectUnauthorized: false })
  client.write('GET / HTTP/1.0\r\n\r\n')
  const answer = Buffer.concat(await client.toArray()).toString()
  tcp.destroy()
  return answer.slice(answer.indexOf('\r\n\r\n') + 4)
}

/** How a connection ends on which nothing is said. Runs in an agent. */
async function silent(port: number): Promise<string> {
  const { connect } = await import('node:net')
  const socket = connect({ host: '203.0.113.1', port })
  return new Promise(resolve => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('end', () => resolve('end'))
    socket.resume()
  })
}
