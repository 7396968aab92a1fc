import { join } from 'node:path'
import t from 'tap'
import type { Finding } from '../../src/doctor/finding.ts'
import { command } from '../lab/end.ts'
import { Relayed } from './relayed.ts'

/** Faults of the path that take their time to be known. */
const lab = await Relayed.start()
t.teardown(() => lab[Symbol.asyncDispose]())

async function peerFinding(): Promise<Finding> {
  const config = join(lab.world.lab.folder, 'gateway', 'config.yaml')
  const { output } = await command(lab.world.gateway, 'doctor', '--json', '--config', config)
  return (JSON.parse(output) as Finding[]).find(({ step }) => step.startsWith('peer '))!
}

const has = (code: string) => (status: { health: { reasons: { code: string }[] } }) =>
  status.health.reasons.some(reason => reason.code === code)

t.test('a handshake, but no path', async t => {
  await lab.faults({ cut: true })
  await lab.until('gateway', has('path-dead'))
  t.match(await peerFinding(), {
    state: 'failed',
    found: /^no answer: .*the keys fitted \d+ s ago; that they do now is not known/,
    fix: /AllowedIPs/,
  })
  await lab.faults({ cut: false })
  await lab.until('gateway', ({ health }) => health.status === 'ready')
})

t.test('full-size packets are lost', async t => {
  await lab.faults({ largest: 1412 })
  await lab.until('gateway', has('mtu-black-hole'))
  t.match(await peerFinding(), { found: /full-size/, fix: /Set tunnel\.mtu at both ends/ })
})
