import type { EndParts } from '../../src/admin/status.ts'
import { momentOf } from '../../src/clock.ts'
import type { TcpForwardStatus, UdpForwardStatus } from '../../src/connection/status.ts'
import { dropReasons } from '../../src/upstream/drop-reason.ts'
import { refusalReasons } from '../../src/upstream/refusal-reason.ts'

/** An end with everything in it. */

export const secret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I='
export const peer = 'UGVlcktleUEtLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0='
export const started = momentOf(Date.parse('2026-01-02T03:04:05.000Z'))

// The keys are not part of the types: what a part carries by mistake must not be shown.
const tunnel = {
  interface: 'wg0',
  publicKey: 'T3duS2V5LS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0=',
  privateKey: secret,
  addresses: ['10.1.10.1/24'],
  listenPort: 51820,
  mtu: 1420,
  congestionControl: 'bbr',
  process: { state: 'running' as const, since: started, pid: process.pid, restarts: 2, environment: secret },
  device: { putBack: { device: 0, link: 0, mtu: 1, address: 0, route: 3 }, shut: [], environment: secret },
  peers: [
    {
      publicKey: peer,
      presharedKey: secret,
      allowedIps: ['10.1.10.2/32'],
      routes: ['10.1.10.2/32'],
      configuredEndpoint: undefined,
      endpoint: '198.51.100.7:51820',
      lastHandshake: Date.parse('2026-01-02T03:04:53.000Z'),
      receivedBytes: 1_572_864,
      sentBytes: 0,
      keepalive: 25,
      path: {
        state: 'up' as const,
        since: started,
        lastAnswer: started + 58_000,
        answersProbes: true,
        rtt: 40.5,
        loss: 0.01,
        rung: undefined,
        deaths: 1,
        rungs: { recreate: 1, resolve: 0, port: 0, restart: 0 },
      },
    },
    {
      publicKey: 'TmV2ZXJTZWVuLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0=',
      allowedIps: ['10.1.10.3/32', 'fd00::3/128'],
      routes: ['10.1.10.3/32', 'fd00::3/128'],
      configuredEndpoint: 'gateway.example.com:51820',
      endpoint: undefined,
      lastHandshake: undefined,
      receivedBytes: 0,
      sentBytes: 148,
      keepalive: 0,
      path: {
        state: 'starting' as const,
        since: started,
        lastAnswer: undefined,
        answersProbes: false,
        rtt: undefined,
        loss: undefined,
        rung: undefined,
        deaths: 0,
        rungs: { recreate: 0, resolve: 0, port: 0, restart: 0 },
      },
    },
  ],
}

export function forward(name: string, state: 'unknown' | 'up' | 'down'): TcpForwardStatus {
  const counts: Partial<Record<string, number>> = { 'header-invalid': 1, 'target-failed': 77 }
  const refused = refusalReasons.map(reason => [reason, counts[reason] ?? 0])
  return {
    protocol: 'tcp',
    name,
    listeners: ['0.0.0.0:443', '[::]:443'],
    acceptProxy: false,
    sendProxy: 'v2',
    proxyHeaderLimit: 107,
    balance: 'first',
    targets: [
      {
        address: '10.1.10.2:443',
        name: undefined,
        state,
        since: started,
        error: state === 'down' ? 'connect ECONNREFUSED 10.1.10.2:443' : undefined,
        active: 1,
      },
    ],
    active: 1,
    accepted: 7,
    checks: 3,
    receivedBytes: 2048,
    sentBytes: 20_971_520,
    droppedTlvs: 4,
    headerResets: 0,
    refused: Object.fromEntries(refused) as TcpForwardStatus['refused'],
  }
}

/** Its target answers; too long datagrams come, and more flows than there is room for. */
export const dns: UdpForwardStatus = {
  ...forward('dns', 'up'),
  protocol: 'udp',
  listeners: ['0.0.0.0:53', '[::]:53'],
  targets: [{ ...forward('dns', 'up').targets[0]!, address: '10.1.10.2:53' }],
  sendProxy: 'v2-every',
  acceptProxy: false,
  datagrams: {
    received: 31,
    sent: 30,
    dropped: Object.fromEntries(
      dropReasons.map(reason => [reason, { 'too-big': 12, backlog: 3 }[reason as string] ?? 0]),
    ) as UdpForwardStatus['datagrams']['dropped'],
    evicted: 2,
  },
}

export function parts(changes: Partial<EndParts> = {}): EndParts {
  return {
    version: '0.1.0',
    wireguardGo: 'v0.0.20260522210424-ecfc5a8d5446',
    startedAt: started,
    logLinesDropped: 9,
    health: {
      status: 'degraded',
      reasons: [
        {
          code: 'no-handshake',
          detail: 'no handshake yet with TmV2ZXJT',
          peer: 'TmV2ZXJTZWVuLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0=',
          since: '2026-01-02T03:04:05.000Z',
        },
      ],
    },
    config: {
      file: '/etc/wg-punchhole/config.yaml',
      since: started,
      reloads: 3,
      rejections: 1,
      rejected: {
        since: started + 1_000,
        count: 1,
        errors: ['config.yaml:3:5: error: forwards.web.listen: found nothing'],
      },
    },
    tunnel,
    forwards: [forward('https', 'up'), forward('ssh', 'down'), forward('new', 'unknown'), dns],
    links: [
      {
        address: '10.1.10.2',
        role: 'dialled',
        state: 'up',
        since: started,
        streams: 5,
        promoted: 1,
        rtt: 40.6,
      },
      {
        address: '10.1.10.3',
        role: 'dialled',
        state: 'down',
        since: undefined,
        streams: 0,
        promoted: 0,
        rtt: undefined,
      },
    ],
    connections: [
      {
        forward: 'https',
        client: '203.0.113.7:50000',
        serverName: undefined,
        target: '10.1.10.2:443',
        since: started + 50_000,
        receivedBytes: 512,
        sentBytes: 1024,
        id: 'ab'.repeat(16),
      },
    ],
    ...changes,
  }
}

/** What its first peer sends arrives, what is sent to it goes unanswered: one fault, and what is behind it. */
export function lost(): EndParts {
  const given = parts()
  const [first, second] = given.tunnel!.peers
  const path = {
    ...first!.path,
    state: 'one-way' as const,
    since: started + 30_000,
    rtt: undefined,
    rung: 'port' as const,
  }
  const since = '2026-01-02T03:04:05.000Z'
  return {
    ...given,
    tunnel: { ...given.tunnel!, peers: [{ ...first!, path }, second!] },
    links: given.links.map(link => ({ ...link, state: 'down' as const, rtt: undefined })),
    health: {
      status: 'degraded',
      reasons: [
        { code: 'one-way', detail: 'what peer UGVlcktl sends arrives', peer, since },
        { code: 'backend-down', detail: 'forward ssh: no target takes connections', forward: 'ssh', since },
      ],
    },
  }
}

/** An end that only forwards, and has nothing to forward. */
export const bare = parts({
  wireguardGo: undefined,
  health: { status: 'ready', reasons: [] },
  config: undefined,
  tunnel: undefined,
  links: [],
  forwards: [],
  connections: [],
})
