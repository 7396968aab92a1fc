import t, { type Test } from 'tap'
import { adminWorld, flooded, get, type Sent } from './admin-flood.ts'
import { unharmed } from './watch.ts'

/** Whatever is sent to the admin server of an end with many forwards: probes, scrapes and clients do not notice. */
t.setTimeout(120_000)

const forwards = Array.from(
  { length: 500 },
  (_, i) => `  f${i}: { listen: ":${20_000 + i}", target: "10.1.10.2:9000", check: false }`,
)
const world = await adminWorld({ forwards: forwards.join('\n') })
t.teardown(() => world.lab.close())
const before = await world.watch.alone(500)

const paths = ['/metrics', '/status.json', '/', '/readyz', '/nothing']
const ms = 3000

async function harmless(t: Test, what: string, floods: readonly Sent[]): Promise<void> {
  const { alone, beside } = await flooded(t, world, what, floods)
  unharmed(t, alone, beside)
}

for (const path of paths)
  t.test(`100 pipelined requests on each of 60 connections: ${path}`, async t => {
    const flood = { connections: 60, text: get(path), times: 100, ms }
    await harmless(t, path, [
      { ...flood, from: 'gateway', reads: true },
      { ...flood, from: 'crowd', reads: false },
    ])
  })

t.test('the smallest requests, as many as a read takes', async t => {
  const text = 'GET / HTTP/1.0\r\n\r\n'
  const flood = { connections: 60, text, times: 4000, reads: true, ms }
  await harmless(t, 'smallest', [
    { ...flood, from: 'gateway' },
    { ...flood, from: 'crowd' },
  ])
})

t.test('large answers that nobody reads', async t => {
  const flood = { connections: 200, times: 1, reads: false, ms }
  await harmless(
    t,
    'unread',
    ['/metrics', '/status.json', '/'].map(path => ({ ...flood, from: 'crowd', text: get(path) })),
  )
})

t.test('connections that are silent, or send a byte now and then', async t => {
  const flood = { connections: 300, times: 1, reads: true, ms: 6000 }
  await harmless(t, 'slow', [
    { ...flood, from: 'crowd', text: '' },
    { ...flood, from: 'crowd', text: 'GET / HTTP/1.1\r\nX: ', drip: { byte: 'x', every: 200 } },
  ])
})

t.test('one short request after the other, each on its own connection', async t => {
  await harmless(
    t,
    'short',
    ['/livez', '/readyz?patience=1s', '/metrics'].map(path => ({
      connections: 40,
      text: get(path),
      times: 1,
      reads: true,
      ms,
      from: 'crowd',
    })),
  )
})

t.test('heads and bodies without end', async t => {
  const flood = { connections: 30, times: 1, reads: true, ms, from: 'crowd' } as const
  const body = 'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n'
  await harmless(t, 'endless', [
    { ...flood, text: `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(200_000)}` },
    { ...flood, text: `GET /${'x'.repeat(1_000_000)}` },
    { ...flood, text: body + 'x'.repeat(1_000_000) },
  ])
})

t.test('afterwards all is as it was', async t => {
  // Of memory the runtime keeps what is in docs/limits.md.
  const { descriptors } = await world.watch.settled(before, Number.POSITIVE_INFINITY)
  t.ok(descriptors <= before.descriptors * 1.1, `${descriptors} of ${before.descriptors} files`)
})
