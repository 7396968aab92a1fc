import * as v from 'valibot'
import { choice, duration, durationOrZero, hostPorts, ipAddress, path, port } from './field.ts'
import { forwardSchema } from './forward-schema.ts'
import { isKey } from './keys.ts'

/**
 * The config file's shape: the one source of its types, defaults, descriptions and of config.schema.json.
 * Each message says what is allowed; what was found, and where, is added by the reader of the file.
 */

const INTERFACE =
  '1 to 15 letters, digits or _ = + . -, not beginning with - or .; not lo, all or default, which the kernel keeps for itself'
const reserved = ['lo', 'all', 'default']
const MTU = 'a whole number of bytes from 576 to 65535'
const CONGESTION = "kernel, or an algorithm's name such as bbr or cubic"
const KEY = "a peer's public key: 44 characters of base64"
const NAME =
  "a forward's name: 1 to 63 letters, digits, _ . or -, beginning with a letter or a digit; not constructor, not prototype"
const FLAG = 'true or false'

const PROBE = 'false or a mapping of port, interval, timeout, addresses'

const probe = v.union(
  [
    v.literal(false, 'false'),
    v.strictObject(
      {
        port: v.optional(
          port('A port, TCP and UDP, that is closed at the peers: its refusal is the answer.'),
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
        // Not in the pattern: the chart's schema is read by Go, whose patterns have no look-ahead.
        v.check(name => !reserved.includes(name), INTERFACE),
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

const LINK = 'false or a mapping of port'

export const linkSchema = v.union(
  [
    v.literal(false, 'false'),
    v.strictObject(
      { port: v.optional(port('TCP, on the tunnel addresses; the same at both ends.'), 9587) },
      LINK,
    ),
  ],
  LINK,
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
      drainDelay: v.optional(
        durationOrZero(
          'How long an end that others stand before still takes new connections after SIGTERM, while they move away.',
        ),
        '2s',
      ),
      drainTimeout: v.optional(
        durationOrZero('How long established connections may finish after SIGTERM, drainDelay included.'),
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
      link: v.optional(
        v.pipe(
          linkSchema,
          v.description('Many connections over one, between two ends of this program; false: off.'),
        ),
        {},
      ),
    },
    'a mapping of tunnel, forwards, admin, readiness, drainDelay, drainTimeout, log, link',
  ),
  v.title('The config of one wg-punchhole end'),
)

export type TunnelSection = v.InferOutput<typeof tunnelSchema>
