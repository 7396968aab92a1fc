import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t from 'tap'
import { startTlsServers } from './tls.ts'
import { ready, startOurs, topology } from './topology.ts'

/** Routes by the hello of a real browser: GREASE, an encrypted hello's stand-in, and a post-quantum key share. */
const world = await topology()
t.teardown(() => world.lab.close())
await startTlsServers(world)
const gateway = await startOurs(
  world,
  'gateway',
  'forwards: { https: { listen: ":443", target: "10.1.10.2:443" } }\n',
)
const cluster = await startOurs(
  world,
  'cluster',
  `forwards:
  https:
    listen: "tunnel:443"
    target: "127.0.0.1:8442"
    routes: { one.example.com: "127.0.0.1:8441", "*.apps.example.com": "127.0.0.1:8443" }
`,
)
await ready(gateway, cluster)

const inClient = join(world.lab.folder, 'chromium')
await writeFile(inClient, `#!/bin/sh\nexec ip netns exec ${world.client.namespace} chromium "$@"\n`, {
  mode: 0o755,
})
const browser = await chromium.launch({
  executablePath: inClient,
  args: [
    ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
    ...['--disable-background-networking', '--disable-component-update', '--ignore-certificate-errors'],
    '--host-resolver-rules=MAP * 203.0.113.1',
  ],
})
t.teardown(() => browser.close())
const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()

for (const [name, answer] of [
  ['one.example.com', /^one one\.example\.com 203\.0\.113\.7$/],
  ['x.apps.example.com', /^haproxy x\.apps\.example\.com 203\.0\.113\.7 authority=x\.apps\.example\.com$/],
  ['two.example.com', /^two two\.example\.com 203\.0\.113\.7$/],
] as const)
  t.test(name, async t => {
    await page.goto(`https://${name}/`)
    t.match(((await page.textContent('body')) ?? '').trim(), answer)
  })

t.test('its hello was a long one', async t => {
  await browser.close()
  const { receivedBytes } = await cluster.logged(({ serverName }) => serverName === 'one.example.com')
  t.ok(Number(receivedBytes) > 1700, `${receivedBytes} bytes`)
})
