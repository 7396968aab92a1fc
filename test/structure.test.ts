import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

/** From the foundation upwards; a part imports itself and what is below it, never its neighbours. */
const layers = [
  ['foundation'],
  ['files', 'text', 'proxy'],
  ['process'],
  ['log'],
  ['sockets'],
  ['config'],
  ['hidden-clients', 'import', 'init', 'names', 'reload'],
  ['tunnel', 'link'],
  ['upstream'],
  ['connection'],
  ['datagram'],
  ['forward'],
  ['admin'],
  ['page', 'doctor'],
  ['app'],
  ['cli'],
  ['main'],
]
/** Neighbours in spite of their layers: the two halves of an end know nothing of each other. */
const strangers = ['upstream', 'connection', 'datagram', 'forward'].map(part => [part, 'tunnel'])
/** A part that is bytes in and bytes out, and all that it may import beside itself and Node. */
const pure = { part: 'proxy', imports: ['src/address.ts', 'src/errors.ts'] }

const maxLines = 250

const sources = globSync('src/**/*.ts').sort()
const benchSources = globSync('bench/**/*.ts').sort()

function partOf(path: string): string {
  const [, first = '', second] = path.split('/')
  if (second !== undefined) return first
  const name = first.replace('.ts', '')
  return layers.flat().includes(name) ? name : 'foundation'
}

function layerOf(path: string): number {
  return layers.findIndex(parts => parts.includes(partOf(path)))
}

function importsOf(path: string): string[] {
  const imports = readFileSync(path, 'utf8').matchAll(
    /^(?:import|export|\} from)\b.*?'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm,
  )
  return Array.from(imports, match => join(dirname(path), match[1] ?? match[2]!))
}

function mayImport(from: string, to: string): boolean {
  const [importer, imported] = [partOf(from), partOf(to)]
  if (importer === imported) return true
  if (strangers.some(pair => pair[0] === importer && pair[1] === imported)) return false
  return layerOf(to) < layerOf(from)
}

t.test('dependencies of src/ point one way', async t => {
  t.ok(sources.length > 0)
  for (const path of sources) {
    t.ok(layerOf(path) >= 0, `${path} belongs to a known part`)
    for (const imported of importsOf(path)) t.ok(mayImport(path, imported), `${path} imports ${imported}`)
  }
})

t.test('the codec of the PROXY protocol stands alone', async t => {
  const files = sources.filter(path => partOf(path) === pure.part)
  t.ok(files.length > 0)
  const imports = files.flatMap(importsOf).filter(path => partOf(path) !== pure.part)
  t.same(
    imports.filter(path => !pure.imports.includes(path)),
    [],
  )
})

/** Files that import each other in a circle, types included: each file is to be read after those that it names. */
function circles(files: readonly string[], imports: (path: string) => readonly string[]): string[][] {
  const reaches = (from: string, goal: string) => {
    const seen = new Set<string>()
    const next = [...imports(from)]
    for (let path = next.pop(); path !== undefined; path = next.pop()) {
      if (path === goal) return true
      if (seen.has(path)) continue
      seen.add(path)
      next.push(...imports(path))
    }
    return false
  }
  const left = new Set(files.filter(path => reaches(path, path)))
  return Array.from(left, path => {
    const circle = [...left].filter(other => reaches(path, other) && reaches(other, path))
    for (const other of circle) left.delete(other)
    return circle
  }).filter(circle => circle.length > 0)
}

t.test('no file imports one that leads back to it', async t => {
  for (const files of [sources, benchSources]) {
    t.ok(files.length > 0)
    const imports = new Map(files.map(path => [path, importsOf(path)]))
    t.same(
      circles(files, path => imports.get(path) ?? []),
      [],
    )
  }
})

t.test('a circle is found', async t => {
  const imports: Record<string, string[]> = { a: ['b'], b: ['c'], c: ['b', 'd'], d: [] }
  t.same(
    circles(Object.keys(imports), path => imports[path]!),
    [['b', 'c']],
  )
})

t.test('the rule finds what it forbids', async t => {
  for (const [from, to] of [
    ['src/config/load.ts', 'src/tunnel/uapi.ts'],
    ['src/config/load.ts', 'src/admin/server.ts'],
    ['src/tunnel/tunnel.ts', 'src/connection/relay.ts'],
    ['src/connection/relay.ts', 'src/tunnel/tunnel.ts'],
    ['src/connection/passage.ts', 'src/forward/forward.ts'],
    ['src/upstream/dial.ts', 'src/connection/client.ts'],
    ['src/proxy/v2.ts', 'src/config/config.ts'],
    ['src/tunnel/tunnel.ts', 'src/link/frame.ts'],
    ['src/log/log.ts', 'src/config/config.ts'],
    ['src/admin/server.ts', 'src/app.ts'],
    ['src/app.ts', 'src/cli.ts'],
  ] as const) {
    t.notOk(mayImport(from, to), `${from} may not import ${to}`)
  }
})

t.test('what is loaded later is a file of src/', async t => {
  // Of a package in CommonJS, the bundle's chunk has a default export alone: names taken from it are undefined.
  for (const path of sources) {
    const loads = Array.from(readFileSync(path, 'utf8').matchAll(/\bimport\((.*?)\)/g), match => match[1]!)
    t.same(
      loads.filter(what => !/^'\.{1,2}\/.*\.ts'$/.test(what)),
      [],
      path,
    )
  }
})

t.test('whatever starts the program starts the built one', async t => {
  // Joined here, so that this file does not name it.
  const source = ['src', 'main.ts'].join('/')
  const files = globSync('{test,scripts,bench}/**/*.{ts,sh}')
  t.same(
    files.filter(file => readFileSync(file, 'utf8').includes(source)).sort(),
    // The bundler, and the test that compares what both cover.
    ['scripts/build.ts', 'test/coverage.test.ts'],
  )
})

/** Where the wall clock is read, and what for. Durations and deadlines go by performance.now(), which nobody sets. */
const wallClocks: Record<string, string> = {
  'src/clock.ts': 'makes times of day of moments',
  'src/admin/view.ts': 'ages of what another process dated',
  'src/doctor/datagram.ts': 'ages of what another process dated',
  'src/doctor/forward.ts': 'ages of what another process dated',
  'src/doctor/peer.ts': 'ages of what another process dated, and whether the clock went back',
}

t.test('the wall clock is read where a time of day is meant', async t => {
  const isReader = (path: string) => /\bDate\.now\b|\bnew Date\(\)/.test(readFileSync(path, 'utf8'))
  t.same(sources.filter(isReader), Object.keys(wallClocks).sort())
})

t.test(`a source file has at most ${maxLines} lines`, async t => {
  for (const path of sources) {
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n').length
    t.ok(lines <= maxLines, `${path} has ${lines}`)
  }
})

t.test('the lock file names no place to download from', async t => {
  t.notMatch(readFileSync('package-lock.json', 'utf8'), /"resolved":/)
})

t.test('the version is the one on top of the change log', async t => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  const [, top] = /^## \[?v?(\d[^\s\]]*)/m.exec(readFileSync('CHANGELOG.md', 'utf8')) ?? []
  t.equal(top, version)
})

const files = filesOfGit()

t.test(
  'no file names a registry or a folder of one machine',
  { skip: files === undefined && 'no git here' },
  async t => {
    // Joined here, so that this file does not name them.
    const hosts = [
      'registry npmjs org',
      'registry yarnpkg com',
      'proxy golang org',
      'sum golang org',
      'goproxy io',
      'goproxy cn',
    ]
    const forbidden = [...hosts.map(host => host.replaceAll(' ', '.')), ['', 'work', ''].join('/')]
    for (const file of files!) {
      const text = readFileSync(file, 'latin1')
      t.same(
        forbidden.filter(word => text.includes(word)),
        [],
        file,
      )
    }
  },
)

t.test('nothing that is built is in git', { skip: files === undefined && 'no git here' }, async t => {
  t.same(
    files!.filter(file => /^(dist|native\/bin|node_modules|\.tap|coverage)\//.test(file)),
    [],
  )
})

/** Committed files and new ones that git does not ignore; undefined outside a repository. */
function filesOfGit(): string[] | undefined {
  try {
    const options = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate']
    const output = execFileSync('git', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const deleted = execFileSync('git', ['ls-files', '-z', '--deleted'], { encoding: 'utf8' }).split('\0')
    return output.split('\0').filter(file => file !== '' && !deleted.includes(file))
  } catch {
    return undefined
  }
}
