import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { retry } from './retry.ts'

t.test('a process that ends by an exception leaves no program, namespace or folder behind', async t => {
  const source = `
    import { Lab } from ${JSON.stringify(join(import.meta.dirname, 'lab.ts'))}
    const lab = await Lab.create('x' + process.pid)
    const host = await lab.host('one')
    const { pid } = host.start('sleep', ['60']).child
    console.log(JSON.stringify({ pid, folder: lab.folder, namespace: '/run/netns/' + host.namespace }))
    await host.exec('true')
    throw new Error('outside of any test')`
  const failed: { code: number; stdout: string; stderr: string } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '--eval', source],
    { env: { ...process.env, NODE_OPTIONS: '' } },
  ).then(
    () => t.fail('the exception was lost') as never,
    error => error,
  )
  t.match(failed.stderr, /outside of any test/)
  const { pid, folder, namespace } = JSON.parse(failed.stdout)
  // Killed, it may still be waiting for its parent to ask how it ended.
  const commandLine = () => (existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '')
  await t.resolves(retry(async () => assert.equal(commandLine(), '')))
  t.notOk(existsSync(namespace))
  t.notOk(existsSync(folder))
})
