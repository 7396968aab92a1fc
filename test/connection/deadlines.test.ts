import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { Deadlines, sweepInterval, type Timed } from '../../src/connection/deadlines.ts'

/** Deadlines on a clock that the test moves, and how many timers they have. */
function deadlinesOf(t: Test) {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  let now = 1000
  t.intercept(performance, 'now', { value: () => now })
  const begun = t.capture(globalThis, 'setInterval', globalThis.setInterval)
  const ended = t.capture(globalThis, 'clearInterval', globalThis.clearInterval)
  const deadlines = new Deadlines()
  t.teardown(() => deadlines.close())
  const expired: string[] = []
  const running = new Set<unknown>()
  return {
    deadlines,
    expired,
    item: (name: string, then = () => {}): Timed => ({
      deadline: 0,
      expire() {
        expired.push(name)
        then()
      },
    }),
    pass(ms: number) {
      now += ms
      mock.timers.tick(ms)
    },
    /** Those that run. */
    timers() {
      for (const call of begun()) if ('returned' in call) running.add(call.returned)
      for (const { args } of ended()) running.delete(args[0])
      return running.size
    },
  }
}

t.test('a deadline expires once, at the first sweep after it, unless it was moved or cleared', async t => {
  const { deadlines, item, expired, pass } = deadlinesOf(t)
  const [first, moved, cleared] = [item('first'), item('moved'), item('cleared')]
  deadlines.set(first, 250)
  deadlines.set(moved, 250)
  deadlines.set(cleared, 250)
  pass(sweepInterval)
  deadlines.set(moved, 1000)
  deadlines.clear(cleared)
  pass(sweepInterval)
  t.same(expired, [])
  pass(sweepInterval)
  t.same(expired, ['first'])
  for (let i = 0; i < 7; i++) pass(sweepInterval)
  t.same(expired, ['first'])
  pass(sweepInterval)
  t.same(expired, ['first', 'moved'])
})

t.test('there is a timer while there are items, and one for all of them', async t => {
  const { deadlines, item, expired, pass, timers } = deadlinesOf(t)
  t.equal(timers(), 0, 'an end without traffic sleeps')
  const [one, other] = [item('one'), item('other')]
  deadlines.set(one, 1000)
  deadlines.set(other, 250)
  t.equal(timers(), 1)
  for (let i = 0; i < 3; i++) pass(sweepInterval)
  t.same(expired, ['other'])
  t.equal(timers(), 1, 'one is left')
  deadlines.clear(one)
  pass(sweepInterval)
  t.equal(timers(), 0)
  deadlines.set(other, 50)
  t.equal(timers(), 1)
  pass(sweepInterval)
  t.same(expired, ['other', 'other'])
  t.equal(timers(), 0)
})

t.test('what expires may set a deadline', async t => {
  const { deadlines, item, expired, pass, timers } = deadlinesOf(t)
  const again = item('again', () => expired.length === 1 && deadlines.set(again, 50))
  deadlines.set(again, 50)
  pass(sweepInterval)
  t.equal(timers(), 1)
  pass(sweepInterval)
  t.same(expired, ['again', 'again'])
  t.equal(timers(), 0)
})

t.test('what is set when they are closed never expires', async t => {
  const { deadlines, item, expired, pass, timers } = deadlinesOf(t)
  deadlines.set(item('late'), 50)
  deadlines.close()
  t.equal(timers(), 0)
  pass(sweepInterval)
  deadlines.set(item('later'), 50)
  pass(sweepInterval)
  t.same(expired, ['later'], 'none of those that there were')
})
