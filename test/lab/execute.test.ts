import t from 'tap'
import { execute } from './execute.ts'

t.test('a command that has ended before it was sent everything gives its own result', async t => {
  t.match(await execute(['sh', '-c', 'echo out; echo err >&2; exit 3'], 'x'.repeat(1 << 20)), {
    code: 3,
    signal: null,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

t.test('what it reads, and a signal that ends it', async t => {
  t.match(await execute(['cat'], 'all of it'), { code: 0, stdout: 'all of it' })
  t.match(await execute(['sh', '-c', 'kill -TERM $$']), { code: null, signal: 'SIGTERM' })
  await t.rejects(execute(['/nowhere']), { code: 'ENOENT' })
})
