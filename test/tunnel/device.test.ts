import t from 'tap'
import { checkTun, ensureDevice, hasIPv6, removeDevice } from '../../src/tunnel/device.ts'
import { ip, ipBatch } from '../../src/tunnel/ip.ts'
import { takeInterface } from '../../src/tunnel/lock.ts'
import { uniqueName } from './lab.ts'

t.test('each way a TUN device can be missing has its own message', async t => {
  await checkTun()
  const opener = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }))
  for (const [code, message, fix] of [
    ['ENOENT', /does not exist/, /--device \/dev\/net\/tun/],
    ['ENODEV', /no TUN driver/, /modprobe tun/],
    ['EPERM', /device cgroup/, /device plugin/],
    ['EACCES', /cannot be opened: EACCES/, /writable/],
  ] as const)
    await t.rejects(checkTun('/dev/net/tun', opener(code)), { code: 'DEVICE_UNAVAILABLE', message, fix })
})

t.test('what ip(8) says becomes an error with its words', async t => {
  await t.rejects(ip(['link', 'show', 'dev', 'nosuch']), {
    code: 'IP_FAILED',
    message: /link show dev nosuch failed: .*does not exist/,
  })
  await t.rejects(ipBatch(ip, ['nonsense', ...new Array(9999).fill('link show dev lo')]), {
    code: 'IP_FAILED',
    message: /nonsense.*Command failed -:1/,
  })
  await ipBatch(() => t.fail('ip was run for nothing') as never, [])
})

t.test('an error of ip that is not about the device being absent is passed on', async t => {
  const broken = () => Promise.reject(new Error('broken'))
  await t.rejects(ensureDevice(broken, 'wg0'), { message: 'broken' })
  await t.rejects(removeDevice(broken, 'wg0'), { message: 'broken' })
})

t.test('an interface that does not exist has no IPv6', async t => {
  t.equal(hasIPv6('nosuch'), false)
  t.equal(hasIPv6('lo'), true)
})

t.test('an interface name is taken once, until released', async t => {
  const name = uniqueName()
  const lock = await takeInterface(name)
  await t.rejects(takeInterface(name), { code: 'INTERFACE_TAKEN', fix: /tunnel\.interface/ })
  const other = await takeInterface(`${name}x`)
  await Promise.all([lock.release(), other.release()])
  await (await takeInterface(name)).release()
})
