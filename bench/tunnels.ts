import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Running } from '../test/lab/lab.ts'
import { port } from './backend.ts'
import type { Contender, Started } from './contender.ts'
import { udpPort } from './datagrams.ts'
import { address, type Network } from './network.ts'

/** Tunnels in user space, whose clients dial out of the pod over TCP; each as its own manual sets up one TCP port. */

/** github.com/fatedier/frp. Over plain TCP with one shared connection, its default; with PROXY v2 towards the backend. */
export const frp: Contender = {
  async start(network, { udp }) {
    const server = await file(network, 'frps.toml', 'bindPort = 7000\nlog.level = "error"\n')
    const client = await file(
      network,
      'frpc.toml',
      `serverAddr = "${address.gatewayWan}"
serverPort = 7000
loginFailExit = false
log.level = "error"
[[proxies]]
name = "web"
type = "tcp"
localIP = "${address.backend}"
localPort = ${port.proxy}
remotePort = 80
transport.proxyProtocolVersion = "v2"
${udp ? frpDatagrams : ''}`,
    )
    return started(
      network.gateway.start(process.env.FRPS!, ['-c', server]),
      network.pod.start(process.env.FRPC!, ['-c', client]),
    )
  },
}

const frpDatagrams = `[[proxies]]
name = "echo"
type = "udp"
localIP = "${address.backend}"
localPort = ${udpPort}
remotePort = ${udpPort}
`

/** github.com/rathole-org/rathole, over Noise. It does not tell the backend who the client is. */
export const rathole: Contender = {
  async start(network) {
    const program = process.env.RATHOLE!
    const keys = await network.gateway.exec(program, '--genkey')
    const key = (name: string) => new RegExp(`${name} Key:\\s*(\\S+)`).exec(keys)![1]
    const server = await file(
      network,
      'rathole-server.toml',
      `[server]
bind_addr = "0.0.0.0:2333"
[server.transport]
type = "noise"
[server.transport.noise]
local_private_key = "${key('Private')}"
[server.services.web]
token = "bench"
bind_addr = "0.0.0.0:80"
`,
    )
    const client = await file(
      network,
      'rathole-client.toml',
      `[client]
remote_addr = "${address.gatewayWan}:2333"
[client.transport]
type = "noise"
[client.transport.noise]
remote_public_key = "${key('Public')}"
[client.services.web]
token = "bench"
local_addr = "${address.backend}:${port.plain}"
`,
    )
    const options = { env: { RUST_LOG: 'error' } }
    return started(
      network.gateway.start(program, ['--server', server], options),
      network.pod.start(program, ['--client', client], options),
    )
  },
}

/** github.com/jpillora/chisel, SSH over a WebSocket. It does not tell the backend who the client is. */
export const chisel: Contender = {
  async start({ gateway, pod }) {
    const program = process.env.CHISEL!
    const remote = `R:0.0.0.0:80:${address.backend}:${port.plain}`
    return started(
      gateway.start(program, ['server', '--reverse', '--port', '7000']),
      pod.start(program, ['client', `${address.gatewayWan}:7000`, remote]),
    )
  },
}

function started(gateway: Running, pod: Running): Started {
  return {
    url: `http://${address.gateway}`,
    udp: `${address.gateway}:${udpPort}`,
    gateway: { program: gateway.pid, tunnel: undefined },
    pod: { program: pod.pid, tunnel: undefined },
  }
}

async function file({ lab }: Network, name: string, text: string): Promise<string> {
  const path = join(lab.folder, name)
  await writeFile(path, text)
  return path
}
