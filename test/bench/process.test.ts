import t from 'tap'
import { parseMachine, parseSchedstat, parseStat, workOf } from '../../bench/process.ts'

t.test('a thread, in milliseconds', async t => {
  t.same(parseSchedstat('45196926 47335459 301\n'), { run: 45.196926, wait: 47.335459 })
  t.same(parseSchedstat(''), { run: 0, wait: 0 }, 'one that is gone')
})

t.test('a process', async t => {
  const rest = 'S 7 12 12 0 -1 4194560 1 2 3 4 150 25 30 4 20 0 11 0 12345'
  const found = { pid: 4711, parent: 7, user: 1500, system: 250, ended: 340 }
  t.same(parseStat(`4711 (node) ${rest}`), found)
  t.same(parseStat(`4711 (a) S 1 (b) ${rest}`), found, 'whatever its name is')
  t.equal(parseStat(''), undefined)
})

t.test('a machine', async t => {
  const text = 'cpu  100 0 200 3000 50 0 10 7 0 0\ncpu0 1 0 1\ncpu1 1 0 1\nintr 5\n'
  t.same(parseMachine(text), { processors: 2, idle: 30_500, steal: 70 })
})

t.test('work of this process goes up, and of one that is gone there is none', async t => {
  const before = workOf([process.pid])
  // A run time is written when a thread stops running.
  for (
    const begun = process.cpuUsage();
    process.cpuUsage(begun).user + process.cpuUsage(begun).system < 50_000;
  );
  await new Promise(resolve => setTimeout(resolve, 20))
  t.ok(workOf([process.pid]).run - before.run > 20)
  t.same(workOf([2 ** 30]), { run: 0, wait: 0, user: 0, system: 0 })
})
