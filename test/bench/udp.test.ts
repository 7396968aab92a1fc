import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'

const program = join(import.meta.dirname, '../../native/bin/udp')

/** Sends 500 datagrams of 100 bytes in a quarter of a second, from 5 sockets. */
async function load(port: number) {
  const args = ['load', `127.0.0.1:${port}`, '5', '100', '0.25', '2000']
  return JSON.parse((await promisify(execFile)(program, args)).stdout)
}

/** Answers what comes as `answer` says. */
async function answering(t: Test, answer: (bytes: Buffer, number: number) => Buffer | undefined) {
  const socket = createSocket('udp4')
  t.teardown(() => socket.close())
  let number = 0
  socket.on('message', (bytes, { port, address }) => {
    const reply = answer(bytes, number++)
    if (reply !== undefined) socket.send(reply, port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket.address().port
}

t.test('what comes back as it was is neither lost nor foreign', async t => {
  const port = 20_000 + (process.pid % 10_000)
  const echo: ChildProcess = spawn(program, ['echo', `127.0.0.1:${port}`])
  t.teardown(() => echo.kill())
  await once(echo.stdout!, 'data')
  const result = await load(port)
  t.match(result, { sent: 500, lost: 0, foreign: 0 })
  t.ok(result.p50 > 0 && result.p99 >= result.p50, `${result.p50} and ${result.p99} ms`)
})

t.test('what is not answered is lost', async t => {
  // The first datagrams of the five flows are answered, and they alone.
  const port = await answering(t, (bytes, number) => (number < 5 ? bytes : undefined))
  t.match(await load(port), { sent: 500, lost: 1, foreign: 0 })
})

t.test("an answer of another flow's, or with other bytes, is foreign", async t => {
  const port = await answering(t, (bytes, number) => {
    if (number < 5) return bytes
    // The last byte of the flow's number, and the last of all.
    bytes[number % 2 === 0 ? 7 : 99]! ^= 1
    return bytes
  })
  t.match(await load(port), { sent: 500, lost: 1, foreign: 500 })
})
