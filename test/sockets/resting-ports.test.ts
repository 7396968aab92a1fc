import t from 'tap'
import { RestingPorts } from '../../src/sockets/resting-ports.ts'

t.test('a port rests until its time is over', async t => {
  const resting = new RestingPorts()
  resting.add(40_000, 100)
  t.ok(resting.has(40_000, 99))
  t.notOk(resting.has(40_001, 99))
  t.notOk(resting.has(40_000, 100))
  resting.add(40_000, 200)
  t.ok(resting.has(40_000, 150))
})

t.test('where too many rest, the first may be used again', async t => {
  const resting = new RestingPorts()
  for (let port = 30_000; port < 30_000 + 8193; port++) resting.add(port, 100)
  t.notOk(resting.has(30_000, 0))
  t.ok(resting.has(30_001, 0))
  t.ok(resting.has(38_192, 0))
})
