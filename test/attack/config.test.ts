import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatShown } from '../../src/config/issues.ts'
import { type Loaded, loadConfig } from '../../src/config/load.ts'
import { heapFor, loadAside } from '../../src/config/load-aside.ts'
import { Reload } from '../../src/reload.ts'
import { folder, quietHost, wgConf } from '../fixtures/config.ts'
import { recordingLog } from '../fixtures/log.ts'
import { greatConfigs, refusedConfigs, refusedWgConfs } from './config-texts.ts'

/**
 * Files that cost their reader the most. Work that grows with the square of them would not end within a test's time; what
 * is said of them is bounded in lines and in length.
 */

const most = 20
/** Characters of a file; the whole form has those of the greatest size. */
const length = 15_000
const host = { ...quietHost, openFiles: 100_000 }

/** At most the first errors and warnings, a line that counts the others, and no line that is long. */
function isBrief(t: Test, loaded: Loaded): void {
  const lines = formatShown(loaded, ['error', 'warning'])
  t.ok(lines.length <= 2 * most + 1, `${lines.length} lines`)
  const long = lines.filter(line => line.length > 1500)
  t.same(long, [], 'no line is long')
  t.same(
    lines.filter(line => /\p{Cc}/u.test(line)),
    [],
    'each is one line',
  )
}

const load = (t: Test, files: Record<string, string>) =>
  loadConfig({ configFile: join(folder(t, files), 'config.yaml') }, host)

t.test('a config that is refused costs little and says little', async t => {
  for (const [what, text] of Object.entries(refusedConfigs))
    await t.test(what, async t => {
      const loaded = await load(t, { 'config.yaml': text(length) })
      t.equal(loaded.config, undefined)
      isBrief(t, loaded)
    })
})

t.test('and so does wg0.conf', async t => {
  for (const [what, text] of Object.entries(refusedWgConfs))
    await t.test(what, async t => {
      const loaded = await load(t, {
        'wg0.conf': text(6 * length),
        'config.yaml': 'tunnel: {wgConf: wg0.conf}\nforwards: {a: {listen: ":80", target: "10.1.10.2:80"}}\n',
      })
      t.equal(loaded.config, undefined)
      isBrief(t, loaded)
    })
})

t.test('the greatest that is right is taken', async t => {
  const { config, issues } = await load(t, { 'config.yaml': greatConfigs['listeners and targets']!() })
  t.same(issues, [])
  t.equal(config?.forwards.length, 4000)
})

t.test('the first errors in the order of the file, and how many more', async t => {
  const keys = Array.from({ length: 3000 }, (_, index) => `    k${index}: 1\n`).join('')
  const { issues, more } = await load(t, {
    'config.yaml': `log: {level: loud}\nforwards:\n  a:\n${keys}    listen: 1\n`,
  })
  t.same(
    issues.map(({ key }) => key),
    ['log.level', ...Array.from({ length: most - 1 }, (_, index) => `forwards.a.k${index}`)],
  )
  // The keys that are left, and listen; without either, a target is missed.
  t.same(more, { error: 3000 - (most - 1) + 1, warning: 0 })
})

t.test('too many forwards are one error, whatever else is wrong with them', async t => {
  const forwards = Array.from({ length: 4097 }, (_, index) => `  a${index}: 1\n`).join('')
  const { issues, more } = await load(t, { 'config.yaml': `forwards:\n${forwards}` })
  t.match(issues, [{ key: 'forwards', message: /^found 4097 forwards; allowed: 4096/ }])
  t.equal(issues.length, 1)
  t.same(more, { error: 0, warning: 0 })
})

t.test('warnings are counted as errors are', async t => {
  const targets = Array.from({ length: 100 }, (_, index) => `"10.1.10.${index + 100}:80"`)
  const loaded = await load(t, {
    'wg0.conf': wgConf.replace('Address = 10.1.10.1', 'Address = 10.1.10.1/24'),
    'config.yaml': `tunnel: {wgConf: wg0.conf}\nforwards: {a: {listen: ":80", target: [${targets}]}}\n`,
  })
  t.ok(loaded.config)
  const lines = formatShown(loaded, ['warning'])
  t.equal(lines.length, most + 1)
  t.equal(lines.at(-1), 'and 80 more warnings')
})

t.test('the log of a running end has one short line for it, its status and its health too', async t => {
  const path = folder(t, { 'config.yaml': 'forwards: {a: {listen: ":80", target: "x:80"}}\n' })
  const configFile = join(path, 'config.yaml')
  const before = await loadConfig({ configFile }, host)
  await writeFile(configFile, refusedConfigs['unknown keys of one forward']!(50_000))
  const { log, lines } = recordingLog()
  const loaded = { ...before, config: before.config! }
  const reload = new Reload({ loaded, load: () => loadAside({ configFile }), apply: async () => {}, log })
  reload.request()
  await reload.close()
  const { rejected } = reload.status()
  t.equal(rejected?.errors.length, most + 1)
  t.equal(rejected?.errors.at(-1), `and ${rejected!.count - most} more errors`)
  t.ok(rejected!.count > 3000)
  t.match(reload.reasons()[0]?.detail, new RegExp(`\\(and ${rejected!.count - 1} more\\)$`))
  t.equal(lines.length, 1)
  t.ok(JSON.stringify(lines).length < 10_000)
})

t.test('a thread of its own says what this one would', async t => {
  for (const what of ['unknown keys of one forward']) {
    const configFile = join(folder(t, { 'config.yaml': refusedConfigs[what]!(4 * length) }), 'config.yaml')
    const [aside, here] = [await loadAside({ configFile }), await loadConfig({ configFile })]
    t.same(aside, here, what)
    t.equal(aside.files.size, 1)
  }
})

t.test('of the limit of a container the thread has a third', async t => {
  t.equal(heapFor(undefined), 512)
  t.same(
    [128, 512, 4096].map(mebibytes => heapFor(mebibytes * 2 ** 20)),
    [42, 170, 512],
  )
})

t.test('a thread that does not end in time, or is out of memory, is an error', async t => {
  const configFile = join(folder(t, { 'config.yaml': greatConfigs.prefixes!() }), 'config.yaml')
  const late = await loadAside({ configFile }, { here: 1, time: 1, memory: 512 })
  t.match(late, { config: undefined, issues: [{ file: configFile, message: /took more than 0.001 s/ }] })
  const full = await loadAside({ configFile }, { here: 1, time: 60_000, memory: 8 })
  t.match(full, { config: undefined, issues: [{ file: configFile, message: /memory/ }] })
  t.same([...late.files.keys()], [configFile], 'and it is tried again when the file changes')
})
