import t, { type Test } from 'tap'
import { load, quietHost, wgConf } from '../fixtures/config.ts'

const forwards = (...listens: string[]) =>
  `forwards:\n${listens
    .map((listen, i) => {
      const ports = listen.slice(listen.indexOf(':'))
      return `  f${i}: { listen: "${listen}", target: "192.0.2.9${ports}" }\n`
    })
    .join('')}`

const of = (t: Test, text: string, openFiles: number, wg = wgConf) =>
  load(
    t,
    { 'config.yaml': `tunnel: {wgConf: wg0.conf}\n${text}`, 'wg0.conf': wg },
    {},
    { ...quietHost, openFiles },
  )

t.test('4096 listeners in all, and not one more', async t => {
  t.same((await of(t, forwards(':1-4096'), 1e6)).lines, [])
  t.match((await of(t, forwards(':1-65535'), 1e6)).lines, [
    /^config.yaml:3:17: error: forwards.f0.listen: found 65535 listeners \(ports × addresses\); allowed: in all 4096; list the ports/,
  ])
  t.match((await of(t, forwards(':1-4000', ':5000-5095', ':6000-6001', ':6500-6700'), 1e6)).lines, [
    /^config.yaml:5:17: error: forwards.f2.listen: found 2 listeners .*, with those before it 4098; allowed: in all 4096/,
  ])
})

t.test('each address of the tunnel has its own', async t => {
  const wg = wgConf.replace('Address = 10.1.10.1', 'Address = 10.1.10.1, fd00::1')
  t.same((await of(t, forwards('tunnel:1-2048'), 1e6, wg)).lines, [])
  t.match((await of(t, forwards('tunnel:1-2049'), 1e6, wg)).lines, [/found 4098 listeners/])
})

t.test('half of the files that the process may hold open', async t => {
  t.same((await of(t, forwards(':1-416'), 1024)).lines, [])
  t.match((await of(t, forwards(':1-417'), 1024)).lines, [
    /found 417 listeners .*allowed: in all 416 with the 1024 files that this process may hold open; raise it with `--ulimit nofile=N:N` of docker, LimitNOFILE= of systemd/,
  ])
  t.match((await of(t, forwards(':80'), 100)).lines, [
    /found 1 listeners .*allowed: in all 0 with the 100 files/,
  ])
})
