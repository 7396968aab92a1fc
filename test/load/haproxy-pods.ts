import { startEndByHand } from '../e2e/by-hand.ts'
import { retry } from '../lab/retry.ts'
import type { Pod, Pods } from './pods.ts'

/** HAProxy as the gateway of two pods, as docs/upgrade.md has it. */
export const haproxyGateway = { start, serves }

async function start(pods: Pods): Promise<void> {
  await startEndByHand(pods.lab, pods.gatewayHost, {
    device: pods.interfaceOf('gateway'),
    wgConf: pods.gatewayConf,
    address: '10.1.10.1/24',
    haproxyCfg: `${haproxySettings}
global
  stats socket ${socketOf(pods)} level operator
`,
  })
}

const haproxySettings = `listen bytes
  bind :9000
  balance roundrobin
  option redispatch
  retries 3
  option tcp-check
  tcp-check connect default
  tcp-check connect port 9587
  default-server send-proxy-v2 check inter 500ms fall 2 rise 2
  server pod0 10.1.10.2:9000
  server pod1 10.1.10.3:9000
`

/** HAProxy sends clients to this pod again. */
async function serves(pods: Pods, pod: Pod): Promise<void> {
  await retry(async () => {
    const stat = await pods.gatewayHost.run(askStat, socketOf(pods))
    const line = stat.split('\n').find(line => line.startsWith(`bytes,pod${pod},`))
    if (line?.split(',')[17] !== 'UP') throw new Error(stat)
  })
}

function socketOf(pods: Pods): string {
  return `${pods.lab.folder}/haproxy.sock`
}

// Sent to the host as text.
async function askStat(path: string): Promise<string> {
  const { connect } = await import('node:net')
  const socket = connect(path)
  socket.end('show stat\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}
