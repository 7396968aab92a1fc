import { domainToASCII } from 'node:url'
import * as v from 'valibot'
import { parseCidr } from '../address.ts'
import { balances, udpForms } from './config.ts'
import { choice, count, DURATION, duration, hostPorts, text } from './field.ts'
import { parseRouteName } from './server-name.ts'

/** The shape of one entry of `forwards`. */

const timeoutsSchema = v.strictObject(
  {
    connect: v.optional(duration('TCP: how long a target may take to answer a connect. Default: 5s.')),
    header: v.optional(
      duration(
        'TCP: how long a client may take to send its whole PROXY header; and its TLS ClientHello, for routes. Default: 5s.',
      ),
    ),
    idle: v.optional(
      v.pipe(
        v.union(
          [
            v.pipe(
              v.literal('none', DURATION),
              v.transform(() => 0),
            ),
            duration('A duration.'),
          ],
          `none, or ${DURATION}`,
        ),
        v.description(
          'TCP: how long a connection may stay silent in both directions; none: for ever. Default: none.',
        ),
      ),
    ),
    halfClosed: v.optional(duration('TCP: how long one direction may outlive the other. Default: 5m.')),
    udp: v.optional(duration('UDP: how long a flow may stay silent in both directions. Default: 60s.')),
    proxyFirst: v.optional(
      duration(
        'UDP, with v2-first: after how long without a datagram the receiver has forgotten the client. Default: 10s.',
      ),
    ),
  },
  'a mapping to durations: connect, header, idle, halfClosed; with protocol: udp: udp, proxyFirst',
)

const LISTEN = 'host:port, [v6]:port, :port (all addresses) or tunnel:port, ports 1 to 65535, a-b for a range'
const TARGET = 'host:port or [v6]:port, ports 1 to 65535, a-b for the same range as listen; or a list of them'
const CHECK = 'false or a mapping of interval, rise, fall'
const CIDRS = 'a list of one or more prefixes such as 10.0.0.0/8 or 2001:db8::/32'

const cidrs = (description: string) =>
  v.pipe(
    v.array(text('A prefix.', 'a prefix such as 10.0.0.0/8', /^[0-9A-Fa-f:./]+$/, parseCidr), CIDRS),
    v.minLength(1, CIDRS),
    v.description(description),
  )

const target = hostPorts('Where connections go: host:port; the host is a name or an address.', TARGET)

const targets = v.pipe(
  v.union([target, v.pipe(v.array(target, TARGET), v.minLength(1, TARGET))], TARGET),
  v.description('Where connections go: one target, or a list of them.'),
  v.transform(given => (Array.isArray(given) ? given : [given])),
)

const FORMS = udpForms.join(', ')
const ACCEPT_PROXY = `false, true (v1 or v2), v1, v2; with protocol: udp: false, true (v2-every), ${FORMS}`
const SEND_PROXY = `false, v1, v2; with protocol: udp: false, ${FORMS}`

const HEADER_LIMIT = 'a whole number of bytes from 52 to 1536'

const ROUTES = 'a mapping of one or more server names to targets'
const ROUTE = 'a server name such as www.example.com, or *.example.com for all names below it'

const routes = v.pipe(
  v.record(
    v.pipe(
      v.string(ROUTE),
      v.regex(/^(\*\.)?[\w-]+(\.[\w-]+)*\.?$/, routeMessage),
      v.check(name => parseRouteName(name) !== undefined, routeMessage),
    ),
    targets,
    ROUTES,
  ),
  v.minEntries(1, ROUTES),
  v.description(
    'TLS server names (SNI), each with where its connections go; *.example.com is all names below it. Connections with another name, none, or without TLS go to target.',
  ),
)

const check = v.pipe(
  v.union(
    [
      v.literal(false, 'false'),
      v.strictObject(
        {
          interval: v.optional(duration('Between two checks of a target.'), '5s'),
          rise: v.optional(count('Checks in a row that a target has to answer to be up again.'), 2),
          fall: v.optional(count('Checks in a row that a target has to fail to be down.'), 3),
        },
        CHECK,
      ),
    ],
    CHECK,
  ),
  v.description(
    'How targets are tried without a client. Default with several targets: every 5s; with one only while it is down; false: never, as with protocol: udp.',
  ),
)

export const forwardSchema = v.strictObject(
  {
    listen: hostPorts(
      'Where clients connect: host:port, [v6]:port, :port, tunnel:port, or a range a-b.',
      LISTEN,
    ),
    target: v.optional(targets),
    routes: v.optional(routes),
    balance: v.optional(choice('Which of several targets that are up gets a connection.', balances), 'first'),
    check: v.optional(check),
    protocol: v.optional(choice('The protocol that is forwarded.', ['tcp', 'udp']), 'tcp'),
    acceptProxy: v.optional(
      v.pipe(
        v.union([v.boolean(), v.picklist(['v1', 'v2', ...udpForms])], ACCEPT_PROXY),
        v.description(
          'The PROXY header that every connection must begin with; with protocol: udp, how datagrams carry it. Default: true (v1 or v2; udp: v2-every) on tunnel:, else false.',
        ),
      ),
    ),
    trustedProxies: v.optional(
      cidrs("Who may send a PROXY header. Default on tunnel:: the peers' AllowedIPs."),
    ),
    sendProxy: v.optional(
      v.pipe(
        v.union([v.literal(false), v.picklist(['v1', 'v2', ...udpForms])], SEND_PROXY),
        v.description(
          'The PROXY header that the target gets. Default: v2; with protocol: udp v2-every where all targets are addresses inside the tunnel, else false.',
        ),
      ),
    ),
    proxyHeaderLimit: v.optional(
      v.pipe(
        v.number(HEADER_LIMIT),
        v.integer(HEADER_LIMIT),
        v.minValue(52, HEADER_LIMIT),
        v.maxValue(1536, HEADER_LIMIT),
        v.description(
          'Bytes of the PROXY v2 header that a target gets, at most (default 107); what does not fit is left out: first what was received, then AUTHORITY, then UNIQUE_ID.',
        ),
      ),
    ),
    allow: v.optional(cidrs('The only clients that are let in, by the address that a PROXY header tells.')),
    deny: v.optional(cidrs('Clients that are refused, before allow is looked at.')),
    maxConnections: v.optional(count('How many connections may be open, or flows (default 4096).')),
    maxConnectionsPerClient: v.optional(
      count(
        'How many one client may have open: an IPv4 address, or an IPv6 /64. Default with protocol: udp: 256.',
      ),
    ),
    newConnectionsPerSecond: v.optional(
      count(
        "How many may come in a second; at once at most one second's worth. Default with protocol: udp: 1000.",
      ),
    ),
    timeouts: v.optional(
      v.pipe(timeoutsSchema, v.description('Time limits of each connection, or flow.')),
      {},
    ),
  },
  'a mapping with listen and target, or routes, in it',
)

export type ForwardSection = v.InferOutput<typeof forwardSchema>

/** TLS sends names in their ASCII form. */
function routeMessage({ input }: { readonly input: string }): string {
  const ascii = input.length <= 255 && [...input].some(letter => letter > '~') ? domainToASCII(input) : ''
  return ascii === '' ? ROUTE : `${ROUTE}, in ASCII: ${ascii}`
}
