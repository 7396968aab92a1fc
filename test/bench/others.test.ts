import t from 'tap'
import { disturbance, foreignTime } from '../../bench/others.ts'

const own = 100
const one = (pid: number, parent: number, user: number, ended = 0) => ({
  pid,
  parent,
  user,
  system: 1,
  ended,
})

t.test('what is not of the benchmark, nor of the kernel', async t => {
  const all = [
    one(1, 0, 10, 20),
    one(2, 0, 1000),
    one(3, 2, 1000),
    one(own, 50, 1000, 1000),
    one(101, own, 1000),
    one(102, 101, 1000),
    one(50, 1, 5),
    one(60, 50, 7),
  ]
  t.equal(foreignTime(all, own), 31 + 6 + 8)
})

t.test('a process that ended is in the time of its parent', async t => {
  const before = [one(1, 0, 0), one(50, 1, 5), one(60, 50, 7000)]
  const after = [one(1, 0, 0), one(50, 1, 5, 7001 + 40)]
  t.equal(foreignTime(after, own) - foreignTime(before, own), 40)
})

t.test('when it is too much', async t => {
  const sighting = (at: number, foreign: number, steal: number) => ({
    at,
    foreign,
    machine: { processors: 2, idle: 0, steal },
  })
  const between = (foreign: number, steal: number) =>
    disturbance(sighting(500, 7000, 100), sighting(10_500, 7000 + foreign, 100 + steal))
  t.equal(between(300, 200), undefined)
  t.equal(between(1100, 0), 'other processes used 0.11 of a processor')
  t.equal(between(0, 210), 'the hypervisor took 1.1 % of the processors')
})
