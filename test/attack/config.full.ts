import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { quietHost, folder as testFolder } from '../fixtures/config.ts'
import { greatConfigs, manyPrefixes, refusedConfigs, refusedWgConfs } from './config-texts.ts'
import { tell } from './watch.ts'
import { attackWorld } from './world.ts'

/** A running end is given configs of the greatest size, while good clients and /livez are measured. */

const greatest = 1 << 20
/** Of about as many characters the costliest are that are read to the end. */
const costliest = 150_000

const world = await attackWorld({ files: 20_000 })
t.teardown(() => world.lab.close())
const { victim, folder, watch } = world
const [config, wgConf] = [
  await readFile(join(folder, 'config.yaml'), 'utf8'),
  await readFile(join(folder, 'wg0.conf'), 'utf8'),
]

/** As an editor writes it, and what the end says of it. */
async function change(files: Record<string, string>): Promise<Record<string, unknown>> {
  const from = victim.log.length
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, '.new'), text, { mode: 0o600 })
    await rename(join(folder, '.new'), join(folder, name))
  }
  return victim.logged(
    ({ msg }) => msg === 'config reloaded' || msg === 'config refused, the old one goes on',
    { from },
  )
}

async function harmless(t: Test, files: Record<string, string>, message: RegExp): Promise<void> {
  let line: Record<string, unknown> = {}
  const beside = await watch.during(async () => {
    line = await change(files)
  })
  tell(t, 'beside', beside)
  t.match(line.msg, message)
  t.ok(JSON.stringify(line).length < 20_000, 'one short line')
  t.ok(beside.lines < 60, `${beside.lines} lines`)
  t.equal(beside.failed, 0, 'no good connection is refused')
  t.ok(beside.livez <= 250, `/livez answers within ${beside.livez.toFixed(0)} ms`)
}

const before = await watch.alone(1000)

t.test('configs that are refused', async t => {
  for (const what of [
    'wrong targets',
    'lists within lists',
    'one key again and again',
    'forwards that collide',
  ])
    await t.test(what, t => harmless(t, { 'config.yaml': refusedConfigs[what]!(costliest) }, /refused/))
  for (const what of ['wrong forwards', 'unknown keys of one forward', 'nonsense'])
    await t.test(`${what}, of the greatest size`, t =>
      harmless(t, { 'config.yaml': refusedConfigs[what]!(greatest) }, /refused/),
    )
  await t.test('and back', t => harmless(t, { 'config.yaml': config }, /reloaded/))
})

t.test('wg0.conf that is refused', async t => {
  for (const what of ['lines of another kind', 'prefixes', 'peers'])
    await t.test(what, t => harmless(t, { 'wg0.conf': refusedWgConfs[what]!(greatest) }, /refused/))
  await t.test('and back', t => harmless(t, { 'wg0.conf': wgConf }, /reloaded/))
})

t.test('the greatest that are taken', async t => {
  for (const [what, text] of Object.entries(greatConfigs)) {
    const forwards = text().replace('forwards:\n', '')
    const whole = config.replace('forwards:\n', `forwards:\n${forwards}`)
    await t.test(what, t => harmless(t, { 'config.yaml': whole }, /reloaded/))
  }
  await t.test('and back', t => harmless(t, { 'config.yaml': config }, /reloaded/))
  await t.test('prefixes of a peer', t =>
    harmless(t, { 'wg0.conf': `${wgConf}${manyPrefixes(4000)}` }, /reloaded/),
  )
  await t.test('and back again', t => harmless(t, { 'wg0.conf': wgConf }, /reloaded/))
})

t.test('no descriptor is kept', async t => {
  const isBack = () => watch.descriptors <= before.descriptors * 1.1
  for (let tries = 0; !isBack() && tries < 100; tries++)
    await new Promise(resolve => setTimeout(resolve, 100))
  t.comment(`${before.memory.toFixed(0)} MiB before, ${watch.memory.toFixed(0)} after`)
  t.ok(isBack(), `${watch.descriptors} of ${before.descriptors} files`)
})

t.test('four times the text is about four times the work', async t => {
  const host = { ...quietHost, openFiles: 100_000 }
  const cost = async (files: Record<string, string>) => {
    const configFile = join(testFolder(t, files), 'config.yaml')
    const began = process.cpuUsage()
    await loadConfig({ configFile }, host)
    const { user, system } = process.cpuUsage(began)
    return (user + system) / 1000
  }
  const all = [
    ...Object.entries(refusedConfigs).map(
      ([what, text]) => [what, (length: number) => ({ 'config.yaml': text(length) })] as const,
    ),
    ...Object.entries(refusedWgConfs).map(
      ([what, text]) =>
        [
          what,
          (length: number) => ({
            'wg0.conf': text(8 * length),
            'config.yaml': 'tunnel: {wgConf: wg0.conf}\n',
          }),
        ] as const,
    ),
  ]
  for (const [what, files] of all) {
    const [some, more] = [files(costliest / 5), files((costliest * 4) / 5)]
    await cost(some)
    const [one, four] = [await cost(some), await cost(more)]
    // What garbage is collected in which of the two is a matter of chance.
    t.ok(four <= 8 * one + 200, `${what}: ${one.toFixed(0)} ms, ${four.toFixed(0)} ms`)
  }
})
