import t from 'tap'
import type { Config } from '../src/config/config.ts'
import type { Loaded } from '../src/config/load.ts'
import { EndError } from '../src/errors.ts'
import { Reload } from '../src/reload.ts'
import { recordingLog } from './fixtures/log.ts'

const config = { file: 'config.yaml', drainTimeout: 1 } as Config
const error = {
  severity: 'error',
  file: 'config.yaml',
  line: 3,
  column: 5,
  key: 'link',
  message: 'no',
} as const
const warning = { ...error, severity: 'warning', message: 'hm' } as const
const bad: Loaded = {
  config: undefined,
  issues: [error, { ...error, line: 4 }],
  more: { error: 0, warning: 0 },
  files: new Map(),
}

/** A reload whose next config is `next`, one request at a time. */
function reloading(apply: (now: Config, before: Config) => Promise<void> = async () => {}) {
  const { log, lines } = recordingLog()
  const state = { next: bad }
  const loaded = { config, issues: [], more: { error: 0, warning: 0 }, files: new Map() }
  const reload = new Reload({ loaded, load: async () => state.next, apply, log })
  const settle = async () => {
    reload.request()
    await reload.close()
  }
  return { reload, state, lines, settle }
}

t.test('a bad config is refused as a whole, and the old one goes on', async t => {
  const { reload, lines, settle } = reloading(async () => {
    t.fail('nothing is applied')
  })
  await settle()
  t.equal(reload.config, config)
  t.match(reload.status(), {
    reloads: 0,
    rejections: 1,
    rejected: { errors: ['config.yaml:3:5: error: link: no', String] },
  })
  t.match(reload.reasons(), [
    { code: 'config-rejected', detail: /config\.yaml:3:5: error: link: no \(and 1 more\)$/ },
  ])
  t.match(lines, [['error', { errors: [String, String] }, 'config refused, the old one goes on']])
})

t.test('a good one is applied, and ends a refusal', async t => {
  const applied: [Config, Config][] = []
  const { reload, state, lines, settle } = reloading(async (now, before) => {
    applied.push([now, before])
  })
  await settle()
  const now = { ...config, drainTimeout: 2 }
  state.next = { config: now, issues: [warning], more: { error: 0, warning: 0 }, files: new Map() }
  await settle()
  t.same(applied, [[now, config]])
  t.equal(reload.config, now)
  t.match(reload.status(), { reloads: 1, rejections: 1, rejected: undefined })
  t.same(reload.reasons(), [])
  t.match(lines.at(-2), ['warn', { warning: /hm$/ }, 'config warning'])
  t.match(lines.at(-1), ['info', {}, 'config reloaded'])
})

t.test('one that cannot be applied is refused with the cause and the fix', async t => {
  const { reload, state, settle } = reloading(async () => {
    throw new EndError('LISTEN_FAILED', 'cannot listen', { fix: 'Choose another port' })
  })
  state.next = { config: { ...config }, issues: [], more: { error: 0, warning: 0 }, files: new Map() }
  await settle()
  t.equal(reload.config, config)
  t.same(reload.status().rejected?.errors, ['cannot listen. Choose another port'])
})

t.test('requests while one runs become one more', async t => {
  const gate = Promise.withResolvers<void>()
  let loads = 0
  const second = Promise.withResolvers<void>()
  const { log } = recordingLog()
  const load = async () => {
    if (++loads === 1) await gate.promise
    else second.resolve()
    return bad
  }
  const reload = new Reload({
    loaded: { config, issues: [], more: { error: 0, warning: 0 }, files: new Map() },
    load,
    apply: async () => {},
    log,
  })
  for (let i = 0; i < 5; i++) reload.request()
  gate.resolve()
  await second.promise
  await reload.close()
  t.equal(loads, 2)
})
