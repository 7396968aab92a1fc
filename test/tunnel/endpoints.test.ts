import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Endpoints } from '../../src/tunnel/endpoints.ts'
import { scratchFolder } from '../lab/scratch.ts'
import { KeptLog } from './fake.ts'

const make = (stateDir: string, publicKey = 'ours', interval?: number) => {
  const log = new KeptLog()
  const options = { log, ...(interval === undefined ? {} : { interval }) }
  return { log, endpoints: new Endpoints({ stateDir, interface: 'wg0', publicKey, peers: [] }, options) }
}

t.test('what one run notes the next one knows', async t => {
  const dir = join(t.testdir(), 'not', 'there', 'yet')
  const { endpoints } = make(dir)
  await endpoints.load()
  endpoints.set('A', '192.0.2.1:1')
  endpoints.set('A', '192.0.2.1:2')
  endpoints.set('B', '[2001:db8::1]:3')
  t.notOk(existsSync(dir), 'not with every packet')
  await endpoints.close()
  t.strictSame(readdirSync(dir), ['wg0.endpoints.json'])
  t.equal(statSync(join(dir, 'wg0.endpoints.json')).mode & 0o777, 0o600)

  const next = make(dir)
  await next.endpoints.load()
  t.equal(next.endpoints.get('A'), '192.0.2.1:2')
  t.equal(next.endpoints.get('B'), '[2001:db8::1]:3')
  t.equal(next.endpoints.get('C'), undefined)
  const before = statSync(join(dir, 'wg0.endpoints.json')).ino
  next.endpoints.set('A', '192.0.2.1:2')
  await next.endpoints.close()
  t.equal(statSync(join(dir, 'wg0.endpoints.json')).ino, before, 'not written without a change')

  const stranger = make(dir, 'another key')
  await stranger.endpoints.load()
  t.equal(stranger.endpoints.get('A'), undefined)
  t.match(stranger.log.lines, [{ level: 'debug', fields: { error: 'of another key' } }])
})

t.test('a change is written without waiting for the end', async t => {
  const dir = t.testdir()
  const { endpoints } = make(dir, 'ours', 1)
  endpoints.set('A', '192.0.2.1:1')
  while (!existsSync(join(dir, 'wg0.endpoints.json'))) await new Promise(resolve => setTimeout(resolve, 1))
  t.match(readFileSync(join(dir, 'wg0.endpoints.json'), 'utf8'), '192.0.2.1:1')
  await endpoints.close()
})

t.test('a broken file is ignored, whatever is in it', async t => {
  const file = join(t.testdir(), 'wg0.endpoints.json')
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '7',
    '{}',
    '{"publicKey":"ours"}',
    '{"publicKey":"ours","endpoints":null}',
    '\0',
  ]) {
    writeFileSync(file, text)
    const { endpoints, log } = make(t.testdirName)
    await endpoints.load()
    t.match(log.lines, [{ level: 'debug', message: 'endpoint file ignored' }], JSON.stringify(text))
  }
  const hostile = {
    A: 'host.example:1',
    B: '192.0.2.1:1\nprivate_key=0',
    C: 7,
    D: '192.0.2.1:1-9',
    E: '192.0.2.1:0',
    F: '192.0.2.1:5',
  }
  writeFileSync(file, JSON.stringify({ publicKey: 'ours', endpoints: hostile }))
  const { endpoints } = make(t.testdirName)
  await endpoints.load()
  t.strictSame(
    Object.keys(hostile).filter(key => endpoints.get(key) !== undefined),
    ['F'],
  )
})

t.test('a full disk costs one warning, and an old file stays whole', async t => {
  const dir = scratchFolder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', dir])
  t.teardown(() => execFileSync('umount', [dir]))
  // Its timer does not keep a program alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const { endpoints, log } = make(dir, 'ours', 1)
  endpoints.set('A', '192.0.2.1:1')
  await endpoints.close()
  writeFileSync(join(dir, 'filler'), '')
  const old = readFileSync(join(dir, 'wg0.endpoints.json'), 'utf8')
  endpoints.set('A', '192.0.2.1:2')
  await log.seen('endpoint file not written')
  endpoints.set('A', '192.0.2.1:3')
  await endpoints.close()
  t.equal(log.of('endpoint file not written').length, 1)
  t.match(log.lines[0], { level: 'warn', fields: { error: /ENOSPC/ } })
  t.equal(readFileSync(join(dir, 'wg0.endpoints.json'), 'utf8'), old)
  t.strictSame(readdirSync(dir).sort(), ['filler', 'wg0.endpoints.json'])
})
