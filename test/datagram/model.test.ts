import t from 'tap'
import { clients, type Play, play } from './model.ts'

const lossless = { loss: 0, doubled: 0, delay: 20, isInOrder: true, farRestarts: false, nearRestarts: false }
const lossy = { ...lossless, loss: 10, doubled: 10 }
const marked = { form: 'v2-every', isMarked: true } as const
/** Longer than the far end has flows that the near end has no more. */
const quiet = 900

/** What many plays were together. */
function playAll(options: Omit<Play, 'seed'>, seeds: number) {
  const sum = { wrong: [] as string[], sent: 0, arrived: 0, answered: 0, lost: 0, givenUp: 0, bare: 0 }
  for (let seed = 1; seed <= seeds; seed++) {
    const { wrong, sent, arrived, answered, lost, givenUp, bare } = play({ ...options, seed })
    sum.wrong.push(...wrong.map(what => `seed ${seed}: ${what}`))
    sum.sent += sent
    sum.arrived += arrived.size
    sum.answered += answered.size
    sum.lost += lost.length
    sum.givenUp += givenUp
    sum.bare += bare
  }
  return sum
}

t.test('nothing is lost for want of a header where the path loses nothing', async t => {
  for (const farRestarts of [false, true])
    for (const isInOrder of [false, true]) {
      const sum = playAll({ ...lossless, ...marked, isInOrder, farRestarts, rest: quiet, ports: 200 }, 8)
      t.same(sum.wrong, [], 'no payload is changed, none is for another')
      t.ok(sum.bare > 500, `${sum.bare} go bare`)
      // What a far end had kept when it was restarted is gone with it.
      t.equal(sum.lost, sum.givenUp, `${sum.lost} lost, of ${sum.sent}`)
      if (!farRestarts) t.equal(sum.lost, 0)
    }
})

t.test('a source port is one client after the other', async t => {
  for (const path of [lossless, lossy])
    for (const farRestarts of [false, true])
      for (const nearRestarts of [false, true]) {
        const sum = playAll({ ...path, ...marked, farRestarts, nearRestarts, rest: 0, ports: 6 }, 6)
        t.same(sum.wrong, [])
        t.ok(sum.arrived > 1000 && sum.answered > 200, `${sum.arrived} arrive, ${sum.answered} are answered`)
        if (path === lossless) t.equal(sum.lost, sum.givenUp, 'what is lost is counted')
      }
})

t.test(
  'the same where datagrams overtake each other, and ports rest for as long as the far end has flows',
  async t => {
    for (const restarts of [false, true]) {
      const options = { ...lossy, isInOrder: false, farRestarts: restarts, nearRestarts: restarts }
      const sum = playAll({ ...options, ...marked, rest: quiet, ports: 2 * clients }, 8)
      t.same(sum.wrong, [])
      t.ok(sum.arrived > 1000 && sum.answered > 200, `${sum.arrived} arrive, ${sum.answered} are answered`)
    }
  },
)

t.test('the target is never told another client, however soon a port is taken again', async t => {
  const options = { ...lossy, isInOrder: false, farRestarts: true, nearRestarts: true }
  // Twice the time that a datagram is under way.
  const sum = playAll({ ...options, ...marked, rest: 40, ports: 6 }, 10)
  t.same(
    sum.wrong.filter(what => what.includes('the target')),
    [],
  )
  t.ok(sum.arrived > 1000)
})

t.test('forms that tell the client with every datagram', async t => {
  for (const form of ['v2-every', 'spp'] as const) {
    const options = { ...lossy, form, isMarked: false, isInOrder: false, ports: 2 * clients }
    // A reply of SPP names its client; one of the other form is told by its port alone.
    const rest = form === 'spp' ? 0 : quiet
    const sum = playAll({ ...options, farRestarts: true, nearRestarts: true, rest }, 8)
    t.same(sum.wrong, [], form)
    t.ok(sum.arrived > 200 && sum.answered > 50, `${sum.arrived} arrive, ${sum.answered} are answered`)
    const all = playAll({ ...options, loss: 0, farRestarts: true, rest }, 4)
    t.equal(all.lost, 0)
  }
})

t.test('forms that tell it at the beginning', async t => {
  for (const form of ['v2-first', 'v2-alone'] as const) {
    const options = { ...lossless, form, isMarked: false, ports: 200 }
    const sum = playAll({ ...options, rest: 3000 }, 8)
    t.same(sum.wrong, [], form)
    t.equal(sum.lost, 0, 'nothing is lost on a path that keeps the order')
    t.ok(sum.bare > 1000)
  }
  // Its receiver forgets a sender after two seconds here, so that a port that rested for longer is nobody's.
  const options = {
    ...lossy,
    form: 'v2-first',
    isMarked: false,
    isInOrder: false,
    ports: 2 * clients,
  } as const
  const sum = playAll({ ...options, farRestarts: true, nearRestarts: true, rest: 3000 }, 8)
  t.same(sum.wrong, [])
  t.ok(sum.arrived > 100)
})
