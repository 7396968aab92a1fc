import t from 'tap'
import { ready, startNginx, startOurs, topology } from './topology.ts'

/** Limits of the cluster end hold for the clients that the PROXY header tells, over the link and without it. */
for (const link of [true, false])
  t.test(link ? 'over the link' : 'one by one', async t => {
    const world = await topology()
    t.teardown(() => world.lab.close())
    await startNginx(world)
    const both = link ? '' : 'link: false\n'
    const gateway = await startOurs(
      world,
      'gateway',
      `${both}forwards:
  yes: { listen: ":80", target: "10.1.10.2:80" }
  no: { listen: ":81", target: "10.1.10.2:81" }
  once: { listen: ":82", target: "10.1.10.2:82" }
`,
    )
    const cluster = await startOurs(
      world,
      'cluster',
      `${both}forwards:
  yes: { listen: "tunnel:80", target: "127.0.0.1:8080", allow: [203.0.113.0/24] }
  no: { listen: "tunnel:81", target: "127.0.0.1:8080", deny: [203.0.113.7] }
  once: { listen: "tunnel:82", target: "127.0.0.1:8080", newConnectionsPerSecond: 1 }
`,
    )
    await ready(gateway, cluster)
    if (link) await gateway.logged(({ msg }) => msg === 'link up')
    const ask = (port: number) =>
      world.client.run(async port => {
        const { get } = await import('node:http')
        // To curl a reset that comes before it has looked whether it is connected is a refusal.
        return new Promise<string | undefined>(resolve =>
          get({ host: '203.0.113.1', port, agent: false, signal: AbortSignal.timeout(5000) }, answer => {
            let body = ''
            answer.on('data', chunk => (body += chunk)).on('end', () => resolve(body))
          }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
        )
      }, port)
    t.match(await ask(80), /^203\.0\.113\.7 \d+\n$/)
    t.equal(await ask(81), 'ECONNRESET')
    t.match([await ask(82), await ask(82)], [/^203\.0\.113\.7/, 'ECONNRESET'])
    const refused = (end: 'gateway' | 'cluster') =>
      world[end].run(async () => {
        const { forwards } = JSON.parse(await (await fetch('http://127.0.0.1:9586/status.json')).text())
        return forwards.map((forward: { refused: Record<string, number> }) =>
          Object.entries(forward.refused).flatMap(([reason, count]) =>
            count > 0 ? [`${count} ${reason}`] : [],
          ),
        )
      }, undefined)
    t.same(await refused('cluster'), [[], ['1 denied'], ['1 rate-limit']])
    // Without the link the gateway has seen connections that were made, and then reset.
    t.same(await refused('gateway'), link ? [[], ['1 denied'], ['1 rate-limit']] : [[], [], []])
  })
