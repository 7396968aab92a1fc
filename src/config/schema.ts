import * as v from 'valibot'
import { parseCidr } from './address.ts'
import { choice, DURATION, duration, durationOrZero, hostPorts, ipAddress, path, text } from './field.ts'
import { isKey } from './keys.ts'

/**
 * The config file's shape: the one source of its types, defaults, descriptions and of config.schema.json.
 * Each message says what is allowed; what was found, and where, is added by the reader of the file.
 */

const INTERFACE = '1 to 15 letters, digits or _ = + . -, not beginning with - or .'
const MTU = 'a whole number of bytes from 576 to 65535'
const CONGESTION = "kernel, or an algorithm's name such as bbr or cubic"
const KEY = "a peer's public key: 44 characters of base64"
const NAME =
  "a forward's name: 1 to 63 letters, digits, _ . or -, beginning with a letter or a digit; not constructor, not prototype"
const FLAG = 'true or false'

const PROBE = 'false or a mapping of port, interval, timeout, addresses'
const PORT = 'a whole number from 1 to 65535'

const probe = v.union(
  [
    v.literal(false, 'false'),
    v.strictObject(
      {
        port: v.optional(
          v.pipe(
            v.number(PORT),
            v.integer(PORT),
            v.minValue(1, PORT),
            v.maxValue(65535, PORT),
            v.description('A port, TCP and UDP, that is closed at the peers: its refusal is the answer.'),
          ),
          9,
        ),
        interval: v.optional(duration('How often a peer is probed; more than once a second is once.'), '5s'),
        timeout: v.optional(duration('How long an answer may take.'), '1s'),
        addresses: v.optional(
          v.pipe(
            v.record(
              v.pipe(v.string(KEY), v.regex(/^[A-Za-z0-9+/]{43}=$/, KEY), v.check(isKey, KEY)),
              ipAddress("The peer's own tunnel address."),
              "a mapping of peers' public keys to IP addresses",
            ),
            v.description(
              "Where a peer is: its public key and its own tunnel address, one of its AllowedIPs'.",
            ),
          ),
          {},
        ),
      },
      PROBE,
    ),
  ],
  PROBE,
)

export const tunnelSchema = v.strictObject(
  {
    wgConf: v.optional(path('The wg-quick file, used unchanged. Required unless --wg-conf gives it.')),
    interface: v.optional(
      v.pipe(
        v.string(INTERFACE),
        v.regex(/^[a-zA-Z0-9_=+][a-zA-Z0-9_=+.-]{0,14}$/, INTERFACE),
        v.description('The name of the TUN device.'),
      ),
      'wg0',
    ),
    privateKeyFile: v.optional(path("A file with the private key; it wins over the wg-quick file's.")),
    presharedKeyFile: v.optional(path('A file with the preshared key, where there is exactly one peer.')),
    mode: v.optional(choice('How the tunnel reaches the kernel: a TUN device.', ['tun']), 'tun'),
    stateDir: v.optional(path("The folder that keeps the peers' last endpoints."), '/var/run/wireguard'),
    mtu: v.optional(
      v.pipe(
        v.number(MTU),
        v.integer(MTU),
        v.minValue(576, MTU),
        v.maxValue(65535, MTU),
        v.description(
          "Bytes of the largest packet through the tunnel. Default: the wg-quick file's, else 1420.",
        ),
      ),
    ),
    congestionControl: v.optional(
      v.pipe(
        v.string(CONGESTION),
        v.regex(/^[a-z][a-z0-9_]{0,14}$/, CONGESTION),
        v.description("Congestion control of TCP through the tunnel; kernel leaves the kernel's own."),
      ),
      'bbr',
    ),
    probe: v.optional(
      v.pipe(probe, v.description('How the path to the peers is probed; false: not at all.')),
      {},
    ),
  },
  'a mapping with wgConf in it',
)

const timeoutsSchema = v.strictObject(
  {
    connect: v.optional(duration('How long a target may take to answer a connect.'), '5s'),
    header: v.optional(duration('How long a client may take to send its whole PROXY header.'), '5s'),
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
        v.description('How long a connection may stay silent in both directions; none: for ever.'),
      ),
      'none',
    ),
    halfClosed: v.optional(duration('How long one direction may outlive the other.'), '5m'),
  },
  'a mapping of connect, header, idle, halfClosed to durations',
)

const LISTEN = 'host:port, [v6]:port, :port (all addresses) or tunnel:port, ports 1 to 65535, a-b for a range'
const TARGET = 'host:port or [v6]:port, ports 1 to 65535, a-b for the same range as listen'
const CIDRS = 'a list of one or more prefixes such as 10.0.0.0/8 or 2001:db8::/32'

export const forwardSchema = v.strictObject(
  {
    listen: hostPorts(
      'Where clients connect: host:port, [v6]:port, :port, tunnel:port, or a range a-b.',
      LISTEN,
    ),
    target: hostPorts('Where connections go: host:port; the host is a name or an address.', TARGET),
    protocol: v.optional(choice('The protocol that is forwarded.', ['tcp']), 'tcp'),
    acceptProxy: v.optional(
      v.pipe(
        v.union([v.boolean(), v.picklist(['v1', 'v2'])], 'false, true (v1 or v2), v1, v2'),
        v.description(
          'The PROXY header that every connection must begin with. Default: true (v1 or v2) on tunnel:, else false.',
        ),
      ),
    ),
    trustedProxies: v.optional(
      v.pipe(
        v.array(text('A prefix.', 'a prefix such as 10.0.0.0/8', /^[0-9A-Fa-f:./]+$/, parseCidr), CIDRS),
        v.minLength(1, CIDRS),
        v.description("Who may send a PROXY header. Default on tunnel:: the peers' AllowedIPs."),
      ),
    ),
    sendProxy: v.optional(
      v.pipe(
        v.union([v.literal(false), v.picklist(['v1', 'v2'])], 'false, v1, v2'),
        v.description('The PROXY header that the target gets.'),
      ),
      'v2',
    ),
    timeouts: v.optional(v.pipe(timeoutsSchema, v.description('Time limits of each connection.')), {}),
  },
  'a mapping with listen and target in it',
)

export const adminSchema = v.strictObject(
  {
    listen: v.optional(
      hostPorts('Where health, metrics and the status page are served.', 'host:port, [v6]:port or :port'),
      '127.0.0.1:9586',
    ),
    page: v.optional(choice('Who may see the status page.', ['loopback', 'all']), 'loopback'),
  },
  'a mapping of listen, page',
)

export const linkSchema = v.pipe(
  v.union(
    [
      v.literal(false),
      v.strictObject({
        port: v.optional(
          v.pipe(
            v.number(),
            v.integer(),
            v.minValue(1),
            v.maxValue(65_535),
            v.description('TCP port on the tunnel addresses, the same at both ends.'),
          ),
          9587,
        ),
      }),
    ],
    'false or a mapping of port, 1 to 65535',
  ),
  v.description('Many connections over one, between two of our own ends; false: each has its own.'),
)

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

export const configSchema = v.pipe(
  v.strictObject(
    {
      tunnel: v.optional(
        v.pipe(tunnelSchema, v.description('The WireGuard tunnel; without one the end only forwards.')),
      ),
      forwards: v.optional(
        v.pipe(
          v.record(
            v.pipe(
              v.string(NAME),
              v.regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/, NAME),
              // Valibot passes over these two in a record, unseen.
              v.check(name => name !== 'constructor' && name !== 'prototype', NAME),
            ),
            forwardSchema,
            'a mapping of names to forwards',
          ),
          v.description('What is forwarded, each by a name of your choice.'),
        ),
        {},
      ),
      admin: v.optional(v.pipe(adminSchema, v.description('Health, metrics and the status page.')), {}),
      readiness: v.optional(
        v.pipe(
          v.strictObject(
            {
              backends: v.optional(
                choice('What the end is when no forward has a healthy target.', ['degraded', 'unready']),
                'degraded',
              ),
            },
            'a mapping of backends',
          ),
          v.description('What makes the end unready.'),
        ),
        {},
      ),
      drainTimeout: v.optional(
        durationOrZero('How long established connections may finish after SIGTERM.'),
        '30s',
      ),
      log: v.optional(
        v.pipe(
          v.strictObject(
            {
              level: v.optional(choice('The least severe line that is written.', levels), 'info'),
              connections: v.optional(
                v.pipe(v.boolean(FLAG), v.description('One line per connection.')),
                true,
              ),
            },
            'a mapping of level, connections',
          ),
          v.description('JSON lines on stdout.'),
        ),
        {},
      ),
      link: v.optional(linkSchema, {}),
    },
    'a mapping of tunnel, forwards, admin, readiness, drainTimeout, log',
  ),
  v.title('The config of one wg-punchhole end'),
)

export type TunnelSection = v.InferOutput<typeof tunnelSchema>
export type ForwardSection = v.InferOutput<typeof forwardSchema>
