import { readFileSync } from 'node:fs'
import t from 'tap'
import { metricsText } from '../../scripts/metrics.ts'
import { exposition } from '../../src/admin/exposition.ts'
import { metrics } from '../../src/admin/metrics.ts'
import { endStatus } from '../../src/admin/status.ts'
import { bare, parts, secret } from './sample.ts'

interface Family {
  readonly type: string
  readonly help: string
  readonly samples: Record<string, number>
}

/** Text format 0.0.4, strictly: every line is understood, every sample belongs to the family above it. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  let help: RegExpExecArray | null = null
  let current = ''
  for (const line of text.trimEnd().split('\n')) {
    if (line === '') continue
    const type = /^# TYPE (\S+) (counter|gauge)$/.exec(line)
    const sample = /^(\w+)(\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.]+(?:e[+-]?\d+)?)$/.exec(line)
    if (line.startsWith('# HELP')) help = /^# HELP (\S+) (.+)$/.exec(line)
    else if (type !== null) {
      current = type[1]!
      if (help?.[1] !== current || families.has(current)) throw new Error(`misplaced: ${line}`)
      families.set(current, { type: type[2]!, help: help[2]!, samples: {} })
    } else {
      if (sample?.[1] !== current) throw new Error(`not a sample of ${current}: ${line}`)
      families.get(current)!.samples[sample[2] ?? ''] = Number(sample[3])
    }
  }
  return families
}

const scrape = async (changes: Parameters<typeof parts>[0] = {}) =>
  parse(await exposition(endStatus(parts(changes))))

t.test('every row of the table is in the text, and nothing else', async t => {
  const families = await scrape()
  t.same(
    [...families.keys()],
    metrics.map(metric => metric.name),
  )
  for (const { name, kind, help, labels } of metrics) {
    const family = families.get(name)!
    t.match({ type: family.type, help: family.help }, { type: kind, help })
    t.not(Object.keys(family.samples).length, 0, name)
    for (const key of Object.keys(family.samples))
      t.same(
        Array.from(key.matchAll(/(\w+)="/g), match => match[1]).sort(),
        [...labels].sort(),
        `${name}${key}`,
      )
  }
})

t.test('no series is there twice, and what a label says is kept in it', async t => {
  const reason = { code: 'backend-down', detail: 'no', since: '2026-01-02T03:04:05.000Z' } as const
  const status = endStatus({
    ...parts(),
    version: 'a"b\\c\nd',
    health: { status: 'degraded', reasons: [reason, reason] },
  })
  const text = await exposition(status)
  t.equal(text.match(/^wg_punchhole_health_reason\{/gm)?.length, 1)
  t.match(text, 'wg_punchhole_build_info{version="a\\"b\\\\c\\nd",')
  parse(text)
})

t.test('the names follow the conventions', async t => {
  for (const { name, kind } of metrics) {
    t.match(name, /^wg_punchhole_[a-z_]+$/)
    t.equal(name.endsWith('_total'), kind === 'counter', name)
  }
})

t.test('the values', async t => {
  const families = await scrape()
  const value = (name: string, labels = '') => families.get(`wg_punchhole_${name}`)?.samples[labels]
  const info = `{version="0.1.0",wireguard_go="v0.0.20260522210424-ecfc5a8d5446",node="${process.version}"}`
  t.equal(value('build_info', info), 1)
  t.equal(value('start_time_seconds'), 1_767_323_045)
  t.equal(value('ready'), 1, 'degraded is ready')
  t.equal(value('health_reason', '{reason="no-handshake",peer="TmV2ZXJT"}'), 1)
  t.equal(value('tunnel_process_up'), 1)
  t.equal(value('tunnel_process_restarts_total'), 2)
  t.equal(value('tunnel_mtu_bytes'), 1420)
  t.same(families.get('wg_punchhole_peer_last_handshake_timestamp_seconds')?.samples, {
    '{peer="UGVlcktl"}': 1_767_323_093,
  })
  t.same(families.get('wg_punchhole_peer_received_bytes_total')?.samples, {
    '{peer="UGVlcktl"}': 1_572_864,
    '{peer="TmV2ZXJT"}': 0,
  })
  t.equal(value('peer_sent_bytes_total', '{peer="TmV2ZXJT"}'), 148)
  const https = '{forward="https"}'
  t.equal(value('forward_connections_total', https), 7)
  t.equal(value('forward_connections_active', https), 1)
  t.equal(value('forward_checks_total', https), 3)
  t.equal(value('forward_received_bytes_total', https), 2048)
  t.equal(value('forward_sent_bytes_total', https), 20_971_520)
  t.equal(value('forward_dropped_tlvs_total', https), 4)
  t.equal(value('forward_refused_total', '{forward="https",reason="untrusted-source"}'), 0)
  t.equal(value('forward_refused_total', '{forward="https",reason="header-invalid"}'), 1)
  t.same(families.get('wg_punchhole_forward_datagrams_total')?.samples, {
    '{forward="dns",direction="received"}': 31,
    '{forward="dns",direction="sent"}': 30,
  })
  t.equal(value('forward_datagrams_dropped_total', '{forward="dns",reason="too-big"}'), 12)
  t.equal(value('forward_datagrams_dropped_total', '{forward="dns",reason="no-flow"}'), 0)
  t.same(families.get('wg_punchhole_forward_flows_evicted_total')?.samples, { '{forward="dns"}': 2 })
  t.same(families.get('wg_punchhole_links_up')?.samples, { '': 1 })
  t.same(families.get('wg_punchhole_link_streams')?.samples, { '': 5 })
  t.same(families.get('wg_punchhole_link_streams_promoted')?.samples, { '': 1 })
  t.match(families.get('wg_punchhole_forward_targets')?.samples, {
    '{forward="https",state="up"}': 1,
    '{forward="https",state="down"}': 0,
    '{forward="ssh",state="down"}': 1,
    '{forward="new",state="unknown"}': 1,
  })
  t.same(families.get('wg_punchhole_forward_target_up')?.samples, {
    [https]: 1,
    '{forward="ssh"}': 0,
    '{forward="dns"}': 1,
  })
  t.equal(value('log_lines_dropped_total'), 9)
  t.ok(value('process_resident_memory_bytes')! > 2 ** 20)
  t.ok(value('tunnel_process_resident_memory_bytes')! > 2 ** 20)
  t.ok(value('process_open_fds')! > 2)
})

t.test('what is not there has no sample', async t => {
  const text = await exposition(endStatus(bare))
  t.notMatch(text, /tunnel|peer_|forward_|health_reason/)
  t.match(text, 'wg_punchhole_ready 1')
  t.match(text, 'wireguard_go=""')
  const { tunnel } = parts()
  for (const pid of [undefined, 2 ** 22 + 1]) {
    const process = { ...tunnel!.process, state: 'down' as const, pid }
    const families = await scrape({
      tunnel: { ...tunnel!, process },
      health: { status: 'unready', reasons: [] },
    })
    t.equal(families.has('wg_punchhole_tunnel_process_resident_memory_bytes'), false)
    t.equal(families.get('wg_punchhole_tunnel_process_up')?.samples[''], 0)
    t.equal(families.get('wg_punchhole_ready')?.samples[''], 0)
  }
})

t.test('a second scrape counts nothing twice, and forgets what is gone', async t => {
  await scrape()
  const families = await scrape({ forwards: parts().forwards.slice(0, 1) })
  t.same(families.get('wg_punchhole_forward_connections_total')?.samples, { '{forward="https"}': 7 })
  const [one, two] = await Promise.all([scrape(), scrape()])
  t.same([...one.keys()], [...two.keys()], 'scrapes at the same time')
})

t.test('hostile names are escaped', async t => {
  const [forward] = parts().forwards
  const families = await scrape({ forwards: [{ ...forward!, name: 'a"b\\c\nd' }] })
  t.same(families.get('wg_punchhole_forward_connections_total')?.samples, { '{forward="a\\"b\\\\c\\nd"}': 7 })
})

t.test('no secret, and no client address', async t => {
  const text = await exposition(endStatus(parts()))
  t.notMatch(text, secret)
  t.notMatch(text, '203.0.113.7')
})

t.test('docs/metrics.md is what scripts/metrics.ts makes of the table', async t => {
  t.equal(readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8'), metricsText())
})
