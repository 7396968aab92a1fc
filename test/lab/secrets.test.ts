import t from 'tap'
import { keyPairs } from './end.ts'
import { Lab } from './lab.ts'

t.test('a lab does not close in silence when a program has printed a key', async t => {
  const { privateKey } = keyPairs().gateway
  for (const spelling of [privateKey, Buffer.from(privateKey, 'base64').toString('hex')]) {
    const lab = await Lab.create(`k${process.pid}`)
    const host = await lab.host('one')
    await host.start('echo', [`private_key=${spelling}`]).exited
    const closing = lab.close()
    await t.rejects(closing, /a key was printed, behind: private_key=$/)
  }
})

t.test('what is public may be printed', async t => {
  const lab = await Lab.create(`k${process.pid}`)
  const host = await lab.host('one')
  await host.start('echo', [keyPairs().gateway.publicKey]).exited
  await t.resolves(lab.close())
})
