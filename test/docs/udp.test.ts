import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { folder, quietHost, wgConf } from '../fixtures/config.ts'

/** The configs of docs/udp.md are what an end takes. */
const blocks = readFileSync('docs/udp.md', 'utf8').matchAll(/```yaml\n# (gateway|cluster)\n([\s\S]*?)```/g)
const ends = { gateway: wgConf, cluster: wgConf.replace('10.1.10.1', '10.1.10.2').replace('2/32', '1/32') }
const sent = []

for (const [, end = '', config = ''] of blocks) {
  const path = folder(t, {
    'config.yaml': `tunnel: { wgConf: wg0.conf }\n${config}`,
    'wg0.conf': ends[end as keyof typeof ends],
  })
  const loaded = await loadConfig({ configFile: join(path, 'config.yaml') }, quietHost)
  t.same(loaded.issues, [], config)
  for (const forward of loaded.config?.forwards ?? []) {
    t.equal(forward.protocol, 'udp')
    sent.push(`${end} ${forward.name}: ${forward.acceptProxy} -> ${forward.sendProxy}`)
  }
}
t.same(sent, [
  'gateway dns: false -> v2-every',
  'cluster dns: v2-every -> v2-every',
  'cluster bedrock: v2-every -> v2-first',
  'cluster wireguard: v2-every -> false',
  'gateway tracker: spp -> v2-every',
])
