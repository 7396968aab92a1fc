import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ip } from '../../src/tunnel/ip.ts'
import { leftBehind, nothingLeft } from '../e2e/remains.ts'
import { endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { Lab, type Running } from '../lab/lab.ts'
import { scratchFolder } from '../lab/scratch.ts'

/** Ends that are told to stop while what they wait for does not move. */
const lab = await Lab.create(`p${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('end')
const name = `${lab.id}w`
const keys = keyPairs()
const folder = await endFolder(lab, 'end', {
  config: `tunnel: { wgConf: wg0.conf, interface: ${name}, stateDir: . }
forwards: { web: { listen: ":8080", target: "10.1.10.2:80" } }
`,
  wgConf: `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
`,
})

async function running(): Promise<Running> {
  const end = startEnd(host, folder)
  await end.logged(line => line.msg === 'running')
  return end
}

const wireguardGo = async () => Number(await host.exec('pgrep', '-f', `wireguard-go -f ${name}$`))

t.test('wireguard-go is stopped: one signal ends both', async t => {
  const end = await running()
  process.kill(await wireguardGo(), 'SIGSTOP')
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 0, signal: null })
  await nothingLeft(t, host, name)
})

t.test('a second signal ends both within a second; the next start takes the device over', async t => {
  const end = await running()
  process.kill(await wireguardGo(), 'SIGSTOP')
  end.child.kill('SIGTERM')
  await end.logged(line => line.msg === 'draining')
  const began = performance.now()
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 1, signal: null })
  const took = performance.now() - began
  t.ok(took < 1500, `${took.toFixed(0)} ms, of a second and what a busy machine adds`)
  t.notMatch((await leftBehind(host, name)).join(), /process/)
  const next = await running()
  next.child.kill('SIGTERM')
  t.strictSame(await next.exited, { code: 0, signal: null })
  await nothingLeft(t, host, name)
})

t.test('killed, with its wireguard-go left: the next start takes it over, and ends it', async t => {
  const end = await running()
  const left = await wireguardGo()
  end.child.kill('SIGKILL')
  await end.exited
  const next = await running()
  t.match(await next.logged(line => line.msg === 'tunnel up'), { adopted: true })
  t.equal(await wireguardGo(), left)
  next.child.kill('SIGTERM')
  t.strictSame(await next.exited, { code: 0, signal: null })
  await nothingLeft(t, host, name)
})

t.test('an ip that does not end is not waited for', async t => {
  const { PATH } = process.env
  const bin = scratchFolder()
  // The sleep outlives the shell that is killed, and keeps its stdout open.
  writeFileSync(join(bin, 'ip'), `#!/bin/sh\nPATH='${PATH}'\nsleep 10\necho late\n`)
  chmodSync(join(bin, 'ip'), 0o755)
  process.env.PATH = bin
  t.teardown(() => {
    process.env.PATH = PATH
  })
  await t.rejects(ip(['link']), { code: 'IP_FAILED', message: /ip link failed: did not end within 1500 ms/ })
})
