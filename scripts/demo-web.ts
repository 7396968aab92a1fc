import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { parseProxyHeader, uniqueIdOf } from '../src/proxy/proxy-header.ts'

/**
 * The demo's web server: requires PROXY v2 on 127.0.0.1:8080, and answers with what the header said.
 * A front reads the header and hands the rest of the connection to node:http.
 */
const web = createServer((request, response) => {
  response.end(`${JSON.stringify((request.socket as { seen?: object }).seen)}\n`)
})

createTcpServer({ pauseOnConnect: true }, socket => {
  let bytes = Buffer.alloc(0)
  socket.on('error', () => socket.destroy())
  socket.on('data', function onHeader(chunk: Buffer) {
    bytes = Buffer.concat([bytes, chunk])
    try {
      const header = parseProxyHeader(bytes, 'v2')
      if (header === undefined) return
      socket.off('data', onHeader)
      socket.pause()
      const seen = {
        source: header.source,
        destination: header.destination,
        uniqueId: uniqueIdOf(header.tlvs)?.toString('hex'),
        peer: `${socket.remoteAddress}:${socket.remotePort}`,
      }
      socket.unshift(bytes.subarray(header.length))
      web.emit('connection', Object.assign(socket, { seen }))
      socket.resume()
    } catch {
      socket.resetAndDestroy()
    }
  })
  socket.resume()
}).listen(8080, '127.0.0.1')
