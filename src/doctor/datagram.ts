import { createSocket } from 'node:dgram'
import { familyOf } from '../address.ts'
import { type Dated, type EndStatus, shortKey } from '../admin/status.ts'
import type { UdpForwardStatus } from '../connection/status.ts'
import { messageOf, systemCode } from '../errors.ts'
import { formatSeconds } from '../text/amount.ts'
import type { PeerStatus } from '../tunnel/status.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { TargetStatus } from '../upstream/status.ts'
import { type Finding, failed, ok, unknown, warning } from './finding.ts'

/**
 * What there is to say of a UDP forward without sending anything: a datagram that nobody asked for can hurt. A receiver
 * that wants a header with the first datagram alone takes whoever sent one for a client, and closes the door on the next.
 */

type Forward = Dated<UdpForwardStatus>

/** Whether datagrams for the target would leave this host, and what is known of who is there. */
export async function datagramTargetFinding(
  step: string,
  { address, state, since }: Dated<TargetStatus>,
  where: { readonly address: string; readonly port: number },
  peer: Dated<PeerStatus> | undefined,
): Promise<Finding> {
  const way = await wayTo(where.address, where.port)
  if ('error' in way)
    return failed(
      step,
      `nothing can be sent to ${address}: ${way.error}`,
      `See \`ip route get ${where.address}\` on this host: there has to be a route to the target`,
    )
  const through = peer === undefined ? '' : `, to peer ${shortKey(peer.publicKey)}`
  const leads = `datagrams for ${address} leave from ${way.source}${through}`
  if (state === 'up') {
    const age = formatSeconds((Date.now() - Date.parse(since)) / 1000)
    return ok(step, `${leads}; it has answered clients, and refused none for ${age}`)
  }
  return unknown(
    step,
    `${leads}; udp: nobody answers unless asked, so whether it is there the first client shows`,
  )
}

/** The address that datagrams leave from. To connect a datagram socket sends nothing: the kernel looks for a route. */
function wayTo(address: string, port: number): Promise<{ source: string } | { error: string }> {
  return new Promise(resolve => {
    const socket = createSocket(familyOf(address) === 6 ? 'udp6' : 'udp4')
    const settle = (way: { source: string } | { error: string }) => {
      socket.close()
      resolve(way)
    }
    socket.on('error', error => settle({ error: systemCode(error) ?? messageOf(error) }))
    // With a callback Node gives a failure to it, as its argument, and emits no `error`.
    socket.connect(port, address, (error?: Error) =>
      settle(
        error === undefined
          ? { source: socket.address().address }
          : { error: systemCode(error) ?? messageOf(error) },
      ),
    )
  })
}

const drops: Readonly<Record<DropReason, (name: string) => readonly [found: string, fix: string]>> = {
  'too-big': () => [
    'were longer than fits in one datagram, with their header and through the tunnel; nothing is fragmented',
    'Let the service send shorter ones (DNS: a UDP size of 1232), or see docs/mtu.md for what the tunnel takes',
  ],
  'header-invalid': headerMissing,
  'header-missing': headerMissing,
  'untrusted-source': name => [
    'came with a PROXY header from an address that is not trusted',
    `Add the address of what stands in front to forwards.${name}.trustedProxies, or to the peer's AllowedIPs`,
  ],
  'reply-header': name => [
    'came from the target without the header that spp asks for, or with that of another client',
    `Let the target write the header before each reply, or set forwards.${name}.sendProxy to a form that it takes`,
  ],
  backlog: () => [
    'found no room: they came faster than they could be sent on',
    'A short burst needs nothing; otherwise look at the CPU of both ends, and at net.core.rmem_max and wmem_max',
  ],
  'target-failed': () => [
    'could not be sent to the target, or came while none is up',
    'See what doctor says of the target; the log has a line `datagrams dropped` with the error',
  ],
  'no-flow': name => [
    'came through the tunnel without a header, and the header of their flow never came',
    `Run the same version at both ends, and set forwards.NAME.sendProxy: v2-every at the other end, as forwards.${name}.acceptProxy says here`,
  ],
}

function headerMissing(name: string): readonly [found: string, fix: string] {
  return [
    'came without the header that this forward requires, or with one that is none',
    `Let what sends them write it in the form of forwards.${name}.acceptProxy, or set that to false, which shows the sender's address instead of the client's`,
  ]
}

/** Datagrams that went no further, since the end was started. */
export function dropFindings({ startedAt }: EndStatus, { name, datagrams }: Forward): Finding[] {
  const age = formatSeconds((Date.now() - Date.parse(startedAt)) / 1000)
  const { dropped, evicted } = datagrams
  const findings = Object.entries(dropped).flatMap(([reason, count]) => {
    const told = drops[reason as DropReason]?.(name)
    if (told === undefined || count === 0) return []
    const found = `${count} ${told[0]} (${reason}), in the ${age} that this end has run`
    return [warning(`datagrams of ${name}`, found, told[1])]
  })
  if (evicted === 0) return findings
  const found = `${evicted} were ended to make room for others, in the ${age} that this end has run`
  const fix = `Raise forwards.${name}.maxConnections, or shorten forwards.${name}.timeouts.udp`
  return [...findings, warning(`flows of ${name}`, found, fix)]
}
