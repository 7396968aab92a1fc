import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findBinary } from '../../src/tunnel/binary.ts'

t.test('the variable, then the package, then PATH', async t => {
  const program = { 'wireguard-go': '', 'wireguard-go.version': 'v1.2.3\n' }
  const dir = t.testdir({
    own: program,
    path: { 'wireguard-go': '' },
    other: { wg: '', plain: '' },
    empty: {},
  })
  const at = (...names: string[]) => join(dir, ...names)
  for (const path of [at('own', 'wireguard-go'), at('path', 'wireguard-go'), at('other', 'wg')])
    chmodSync(path, 0o755)
  const PATH = `:${at('empty')}:${at('path')}`
  const named = { PATH, WG_PUNCHHOLE_WIREGUARD_GO: at('other', 'wg') }
  t.strictSame(await findBinary(named, at('own')), { path: at('other', 'wg'), version: 'unknown' })
  t.strictSame(await findBinary({ PATH }, at('own')), { path: at('own', 'wireguard-go'), version: 'v1.2.3' })
  t.strictSame(await findBinary({ PATH }, at('empty')), {
    path: at('path', 'wireguard-go'),
    version: 'unknown',
  })

  // A variable that names nothing useful is an error, not a reason to run something else.
  for (const wrong of [at('nothing'), at('other', 'plain'), at('other')])
    await t.rejects(findBinary({ PATH, WG_PUNCHHOLE_WIREGUARD_GO: wrong }, at('own')), {
      code: 'BINARY_MISSING',
      message: `there is no wireguard-go to run: looked at ${wrong}`,
      fix: /WG_PUNCHHOLE_WIREGUARD_GO/,
    })
  mkdirSync(at('empty', 'wireguard-go'))
  await t.rejects(findBinary({ PATH: at('empty') }, at('none')), {
    code: 'BINARY_MISSING',
    message: `there is no wireguard-go to run: looked at ${at('none', 'wireguard-go')}, ${at('empty', 'wireguard-go')}`,
    fix: /native\/build\.sh/,
  })
  await t.rejects(findBinary({}, at('none')), { code: 'BINARY_MISSING' })
})
