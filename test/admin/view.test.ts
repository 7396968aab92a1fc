import { stripVTControlCharacters } from 'node:util'
import t from 'tap'
import { endStatus } from '../../src/admin/status.ts'
import { formatStatus } from '../../src/admin/view.ts'
import { wallTime } from '../../src/clock.ts'
import { bare, dns, lost, parts, secret, started } from './sample.ts'

const now = wallTime(started) + 60_000
const given = parts({
  tunnel: { ...parts().tunnel!, process: { ...parts().tunnel!.process, pid: undefined } },
})

t.test('the end at a glance', async t => {
  const text = formatStatus(endStatus(given), { color: false, now })
  t.equal(
    text.replaceAll(process.version, 'v24.0.0'),
    `degraded        for 60 s up: wg-punchhole 0.1.0, wireguard-go v0.0.20260522210424-ecfc5a8d5446, Node v24.0.0
  no-handshake  no handshake yet with TmV2ZXJT (for 60 s)

tunnel        wg0
  process     running for 60 s, pid unknown, 2 restarts
  public key  T3duS2V5LS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0=
  addresses   10.1.10.1/24
  listens on  udp 51820
  MTU         1420 B, congestion control bbr

peer      endpoint                   path      RTT    answer  handshake  received  sent   keepalive  allowed
UGVlcktl  198.51.100.7:51820         up        41 ms  2 s     12 s       1.5 MiB   0 B    25 s       10.1.10.2/32
TmV2ZXJT  gateway.example.com:51820  starting  -      never   never      0 B       148 B  off        10.1.10.3/32, fd00::3/128

link       role     state  age   RTT    streams  promoted
10.1.10.2  dialled  up     60 s  41 ms  5        1
10.1.10.3  dialled  down   -     -      0        0

forward  listens on             target         state    open  total  refused  received  sent
https    0.0.0.0:443, [::]:443  10.1.10.2:443  up       1     7      78       2.0 KiB   20 MiB
ssh      0.0.0.0:443, [::]:443  10.1.10.2:443  down     1     7      78       2.0 KiB   20 MiB  connect ECONNREFUSED 10.1.10.2:443
new      0.0.0.0:443, [::]:443  10.1.10.2:443  unknown  1     7      78       2.0 KiB   20 MiB

UDP forward  listens on                   target        state  flows  total  refused  received      sent         evicted  dropped
dns          0.0.0.0:53/udp, [::]:53/udp  10.1.10.2:53  up     1      7      78       31 (2.0 KiB)  30 (20 MiB)  2        12 too-big, 3 backlog

connection         forward  target         age   received  sent
203.0.113.7:50000  https    10.1.10.2:443  10 s  512 B     1.0 KiB`,
  )
})

t.test('color changes nothing but color, and only on demand', async t => {
  const status = endStatus(given)
  const plain = formatStatus(status, { color: false, now })
  const colored = formatStatus(status, { color: true, now })
  t.not(colored, plain)
  t.equal(stripVTControlCharacters(colored).replace(/ +$/gm, ''), plain)
})

t.test('what came over HTTP is shown the same', async t => {
  const status = endStatus(given)
  const options = { color: false, now }
  t.equal(formatStatus(JSON.parse(JSON.stringify(status)), options), formatStatus(status, options))
})

t.test('an end with nothing in it', async t => {
  const text = formatStatus(endStatus(bare), { color: false })
  t.match(text, /^ready {2}for \d+ d up: wg-punchhole 0\.1\.0, Node v\S+$/)
})

t.test('units fit the size', async t => {
  const { tunnel } = parts()
  const receivedFor = (receivedBytes: number, age: number) => {
    const peers = [{ ...tunnel!.peers[0]!, receivedBytes, lastHandshake: now - age * 1000 }]
    const process = { ...tunnel!.process, restarts: 1 }
    const status = endStatus(parts({ tunnel: { ...tunnel!, listenPort: undefined, process, peers } }))
    const text = formatStatus(status, { color: false, now })
    t.match(text, '1 restart\n')
    t.match(text, 'no port yet')
    return /^UGVlcktl {2}\S+ +up +41 ms +2 s +(\S+ \S+) +(\S+ \S+) /m.exec(text)?.slice(1)
  }
  t.same(receivedFor(1023, -5), ['0 s', '1023 B'], 'the clock of the other host is ahead')
  t.same(receivedFor(1024, 119), ['119 s', '1.0 KiB'])
  t.same(receivedFor(10 * 1024, 120), ['2 min', '10 KiB'])
  t.same(receivedFor(3 * 1024 ** 3, 7200), ['2 h', '3.0 GiB'])
  t.same(receivedFor(5000 * 1024 ** 4, 172_800), ['2 d', '5000 TiB'])
})

t.test('many connections are cut short', async t => {
  const [one] = parts().connections
  const connections = Array.from({ length: 534 }, () => ({ ...one!, target: undefined }))
  const text = formatStatus(endStatus(parts({ connections })), { color: false, now })
  t.equal(text.match(/^203.*none yet/gm)?.length, 20)
  t.match(text, /^and 514 more$/m)
})

t.test('several targets have a line each', async t => {
  const [one] = parts().forwards
  const [target] = one!.targets
  const targets = [
    { ...target!, state: 'down' as const, error: 'ECONNREFUSED', active: 0 },
    { ...target!, address: '10.1.10.4:443', name: 'pods.example', active: 3 },
  ]
  const text = formatStatus(endStatus(parts({ forwards: [{ ...one!, targets }] })), { color: false, now })
  t.match(text, /^https +0\.0\.0\.0:443, \[::\]:443 +1 of 2 up +up +1 +7 /m)
  t.match(text, /^ +10\.1\.10\.2:443 +down +0 +ECONNREFUSED$/m)
  t.match(text, /^ +10\.1\.10\.4:443 \(pods\.example\) +up +3$/m)
})

t.test('of a UDP forward several targets have a line each, too, and nothing dropped is a 0', async t => {
  const [target] = dns.targets
  const targets = [target!, { ...target!, address: '192.0.2.3:53', state: 'down' as const, error: 'refused' }]
  const dropped = Object.fromEntries(Object.keys(dns.datagrams.dropped).map(reason => [reason, 0]))
  const datagrams = { ...dns.datagrams, dropped: dropped as typeof dns.datagrams.dropped, evicted: 0 }
  const flow = { ...parts().connections[0]!, forward: 'dns', datagrams: { received: 1, sent: 1 } }
  const status = endStatus(parts({ forwards: [{ ...dns, targets, datagrams }], connections: [flow] }))
  const text = formatStatus(status, { color: false, now })
  t.match(text, /^dns +.*\/udp +1 of 2 up +up +1 .* 0 +0$/m)
  t.match(text, /^ +192\.0\.2\.3:53 +down +1 +refused$/m)
  t.match(text, /^203\.0\.113\.7:50000\/udp +dns /m)
  t.notMatch(text, /^forward /m, 'there is no other')
})

t.test('an end of an older version has no UDP forwards', async t => {
  const { protocol: _, ...old } = endStatus(parts()).forwards[0]!
  const status = JSON.parse(JSON.stringify({ ...endStatus(parts()), forwards: [old] }))
  const text = formatStatus(status, { color: false, now })
  t.match(text, /^https .* up /m)
  t.notMatch(text, 'UDP forward')
})

t.test('behind a peer that is not reached nothing is up or down, and one line is the fault', async t => {
  const text = formatStatus(endStatus(lost()), { color: false, now })
  t.match(text, /^ {2}one-way +what peer .*\(for 60 s\)$/m)
  t.match(text, /^ {2}backend-down +.*\(behind peer UGVlcktl, for 60 s\)$/m)
  t.match(text, /^UGVlcktl +\S+ +one-way: port +- +2 s/m)
  for (const name of ['https', 'ssh'])
    t.match(text, new RegExp(`^${name} .* unknown .*behind peer UGVlcktl, which is not reached$`, 'm'))
})

t.test('targets that reset right behind the header are told of', async t => {
  const [one] = parts().forwards
  const text = (forward: object) =>
    formatStatus(endStatus(parts({ forwards: [{ ...one!, ...forward }] })), { color: false, now })
  t.match(text({ headerResets: 3 }), /^https .*the target reset 3 right behind the PROXY header$/m)
  const targets = [one!.targets[0]!, { ...one!.targets[0]!, address: '10.1.10.3:443' }]
  t.match(text({ headerResets: 3, targets }), /^https .*of 2 up.*the target reset 3 right behind/m)
})

t.test('a foreign end cannot write to the terminal', async t => {
  const [forward] = parts().forwards
  const hostile = {
    ...forward!,
    name: 'a\u001b]0;owned\u202e\u0007\u009b2J',
    targets: [{ ...forward!.targets[0]!, error: 'x\r\ny' }],
  }
  for (const color of [true, false]) {
    const text = formatStatus(endStatus(parts({ forwards: [hostile] })), { color, now })
    t.notMatch(stripVTControlCharacters(text), /[^\P{Cc}\n]|\p{Bidi_C}/u)
    t.match(text, 'a?]0;owned???2J')
    t.match(text, 'x??y')
  }
})

t.test('no secret', async t => {
  t.notMatch(formatStatus(endStatus(parts()), { color: false }), secret)
})
