import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Browser, chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Relayed } from './relayed.ts'

/**
 * The status page in a real browser, beside an end that works. `WG_PUNCHHOLE_SCREENSHOTS=FOLDER` keeps two pictures of it:
 * those in docs/ are made so.
 */
const lab = await Relayed.start()
const { gateway, client, lab: world } = lab.world
let browser: Browser | undefined
t.teardown(async () => {
  await browser?.close()
  await lab[Symbol.asyncDispose]()
})

// The page answers loopback alone: the browser has to be where the gateway is. Its pipes pass through ip-netns(8).
const inGateway = join(world.folder, 'chromium')
await writeFile(inGateway, `#!/bin/sh\nexec ip netns exec ${gateway.namespace} chromium "$@"\n`, {
  mode: 0o755,
})
browser = await chromium.launch({
  executablePath: inGateway,
  args: [
    ...[
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
    ...['--disable-component-update', '--disable-sync'],
  ],
})
const url = 'http://127.0.0.1:9586/'

/** Opens the page, and collects whatever a browser complains of or fetches from elsewhere. */
async function open(
  t: Test,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser!.newContext(options)
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => void complaints.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', error => void complaints.push(error.message))
  page.on('request', request => {
    if (request.url() !== url && !request.url().startsWith('data:'))
      complaints.push(`request: ${request.url()}`)
  })
  await page.goto(url)
  return { page, complaints }
}

const content = async (page: Page) => (await page.locator('main').textContent()) ?? ''
const overflow = (page: Page) =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

// Something to see: connections that stay, and requests that come and go.
await client.run(async (host, { state }) => {
  const net = await import('node:net')
  const http = await import('node:http')
  const sockets = Array.from({ length: 12 }, () =>
    net
      .connect(80, host)
      .on('error', () => {})
      .resume(),
  )
  let turn = 0
  const timer = setInterval(() => {
    if (turn % 30 === 0) for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    for (let i = 0; i < 4 + 3 * Math.sin(turn++ / 9); i++)
      http.get({ host, port: 80, agent: false }, response => response.resume()).on('error', () => {})
  }, 100)
  state.set('stop', () => {
    clearInterval(timer)
    for (const socket of sockets) socket.destroy()
  })
}, '203.0.113.1')
t.teardown(() => client.run((_, { state }) => (state.get('stop') as () => void)(), undefined))
const folder = process.env.WG_PUNCHHOLE_SCREENSHOTS
// A picture for people shows some minutes.
if (folder !== undefined) await sleep(90_000)

t.test('what it shows, and that it asks nobody else', async t => {
  const { page, complaints } = await open(t)
  await page.getByText('Peers').first().waitFor()
  const text = await content(page)
  for (const part of [
    'ready',
    'Clients',
    'This end',
    'Tunnel',
    'Targets',
    '1 of 1 peer up',
    'http',
    '10.1.10.2:80',
    'Handshake',
  ])
    t.ok(text.includes(part), part)
  t.equal(await page.locator('.hop').count(), 4)
  t.equal(await page.locator('.hop.bad, .hop.warning').count(), 0, 'every hop is fine')
  // A line takes two samples after the one they are measured against: 15 seconds after the end has started.
  await page.locator('svg.spark path.line').nth(1).waitFor({ state: 'attached' })
  t.same(complaints, [])
})

t.test('it keeps itself fresh without being loaded anew, and shows a change', async t => {
  const { page, complaints } = await open(t)
  await page.evaluate('window.stays = true')
  const before = await content(page)
  while ((await content(page)) === before) await sleep(100)
  await lab.faults({ cut: true })
  await page.locator('.reasons', { hasText: 'path-dead' }).waitFor({ timeout: 60_000 })
  await page.locator('.events', { hasText: 'Unready' }).waitFor()
  t.equal(await page.locator('.hop.bad b', { hasText: 'Tunnel' }).count(), 1)
  await lab.faults({ cut: false })
  await page.locator('.hop.good b', { hasText: 'Tunnel' }).waitFor({ timeout: 60_000 })
  t.equal(await page.evaluate('window.stays'), true)
  t.same(complaints, [])
})

t.test('an end that is gone is told', async t => {
  const { page } = await open(t)
  await page.route(url, route => route.abort())
  await page.locator('#stale').waitFor({ state: 'visible' })
  await page.unroute(url)
  await page.locator('#stale').waitFor({ state: 'hidden' })
  t.pass()
})

t.test('light and dark, and a phone of 360 pixels', async t => {
  const paper = (page: Page) => page.evaluate('getComputedStyle(document.body).backgroundColor')
  const wide = await open(t, {
    colorScheme: 'light',
    viewport: { width: 1120, height: 900 },
    deviceScaleFactor: 1.5,
  })
  const phone = await open(t, {
    colorScheme: 'dark',
    viewport: { width: 360, height: 740 },
    deviceScaleFactor: 2,
  })
  t.not(await paper(wide.page), await paper(phone.page))
  t.equal(await overflow(wide.page), 0)
  t.equal(await overflow(phone.page), 0)
  if (folder !== undefined) {
    await mkdir(folder, { recursive: true })
    await wide.page.screenshot({ path: join(folder, 'status-page.png') })
    await phone.page.screenshot({ path: join(folder, 'status-page-phone-dark.png') })
  }
  t.same([...wide.complaints, ...phone.complaints], [])
})

t.test('without JavaScript it is a still picture', async t => {
  const { page, complaints } = await open(t, { javaScriptEnabled: false })
  t.match(await content(page), /Tunnel/)
  t.same(complaints, [])
})
