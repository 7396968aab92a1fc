import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Running } from '../../src/tunnel/bring-up.ts'
import { Keeper } from '../../src/tunnel/keeper.ts'
import type { Loss } from '../../src/tunnel/loss.ts'
import { KeptLog } from './fake.ts'
import { keys, tunnelConfig } from './lab.ts'

/** A keeper with a clock of its own, of a device that loses what the test says. */
function keeping() {
  const log = new KeptLog()
  const state = { now: 1e12, lost: [] as Loss[], puts: 0, waits: [] as number[], broken: false, stopped: 0 }
  const running = { process: { stop: async () => void state.stopped++ } } as unknown as Running
  const keeper = new Keeper({
    config: () => tunnelConfig(keys(), ['10.1.10.1/24'], { interface: 'wg0' }),
    alone: async work => work(running),
    losses: async () => state.lost,
    putBack: async () => {
      if (state.broken) throw new Error('RTNETLINK answers: No buffer space available')
      state.puts++
      state.lost = []
    },
    lookIn: ms => void state.waits.push(ms),
    log,
    now: () => state.now,
  })
  const lose = (...losses: Loss[]) => {
    state.lost = losses
    return keeper.look()
  }
  return { keeper, state, log, lose }
}

const route = { what: 'route', text: 'route 10.1.10.2/32' } as const
const mtu = { what: 'mtu', text: 'MTU 1420, found 1300', serving: true } as const

t.test('one line and one more on the counter for what came back', async t => {
  const { keeper, log, lose } = keeping()
  await lose(route, { what: 'route', text: 'route fd00::2/128' }, mtu)
  t.match(log.lines, [
    {
      level: 'warn',
      message: 'tunnel device put back',
      fields: { interface: 'wg0', lost: ['route 10.1.10.2/32', 'route fd00::2/128', 'MTU 1420, found 1300'] },
    },
  ])
  t.equal(log.lines.length, 1)
  t.strictSame(keeper.restored, { device: 0, link: 0, mtu: 1, address: 0, route: 1 })
  t.strictSame(keeper.reasons(), [])
  await lose()
  t.equal(log.lines.length, 1)
})

t.test('with somebody who takes it away again and again it does not race', async t => {
  const { keeper, state, lose } = keeping()
  for (let i = 0; i < 5; i++) {
    await lose(route)
    state.now += 10
  }
  t.equal(state.puts, 5, 'at first at once')
  await lose(route)
  t.equal(state.puts, 5)
  t.strictSame(state.waits, [990])
  t.match(keeper.reasons(), [
    {
      code: 'device-changed',
      detail: /^wg0 has lost route 10\.1\.10\.2\/32: another program has taken it away 5 times/,
    },
  ])
  t.notOk(keeper.reasons()[0]?.serving)
  state.now += 1000
  await lose(route)
  t.equal(state.puts, 6)
  t.match(keeper.reasons(), [
    { detail: /^wg0 is whole now: another program has taken it away 6 times/, serving: true },
  ])
  await lose(route)
  t.equal(state.waits.at(-1), 2000, 'longer each time')
  // Something else is a matter of its own.
  await lose(mtu)
  t.equal(state.puts, 7)
  state.now += 60_000
  t.strictSame(keeper.reasons(), [])
  await lose(route)
  t.equal(state.puts, 8, 'after a minute it is new')
})

t.test('what cannot be put back is told, and tried again', async t => {
  const { keeper, state, log, lose } = keeping()
  state.broken = true
  await lose(mtu)
  t.match(log.of('tunnel device not put back'), [{ fields: { error: /No buffer space/, lost: [mtu.text] } }])
  t.match(keeper.reasons(), [{ code: 'device-changed', serving: true }])
  t.strictSame(state.waits, [1000])
  state.broken = false
  await lose(mtu)
  t.strictSame(keeper.reasons(), [])
})

t.test('without its device wireguard-go is ended, and the next one makes it', async t => {
  const { keeper, state, log, lose } = keeping()
  await lose({ what: 'device', text: 'device wg0' })
  t.equal(state.stopped, 1)
  t.equal(state.puts, 0)
  t.strictSame(log.lines, [])
  keeper.deviceMadeAgain()
  t.match(log.lines, [{ message: 'tunnel device put back', fields: { lost: ['device wg0'] } }])
  t.equal(keeper.restored.device, 1)
})

t.test('a change during a look is looked at again', async t => {
  const { keeper, state } = keeping()
  let looks = 0
  const slow = new Keeper({
    ...{ config: () => tunnelConfig(keys(), ['10.1.10.1/24']), log: new KeptLog(), now: () => state.now },
    alone: async work => work({} as Running),
    losses: async () => {
      looks++
      await sleep(20)
      return []
    },
    putBack: async () => {},
    lookIn: () => {},
  })
  const first = slow.look()
  await Promise.all([slow.look(), slow.look(), first])
  t.equal(looks, 2)
  t.strictSame(keeper.reasons(), [])
})
