import t from 'tap'
import type { Cidr } from '../../src/address.ts'
import { Peers } from '../../src/forward/peers.ts'
import { Shares } from '../../src/sockets/shares.ts'

const v4 = (address: string, bits: number): Cidr => ({ address, bits, family: 4 })
const v6 = (address: string, bits: number): Cidr => ({ address, bits, family: 6 })

t.test('whose an address is: the longest prefix of AllowedIPs says it, as in WireGuard', async t => {
  const peers = new Peers(new Shares(100))
  peers.configure([
    { publicKey: 'everything=', allowedIps: [v4('0.0.0.0', 0), v6('::', 0)] },
    { publicKey: 'subnet=', allowedIps: [v4('10.1.0.0', 16), v6('fd00:1::', 32)] },
    { publicKey: 'one-host=', allowedIps: [v4('10.1.2.3', 32)] },
  ])
  t.same(
    ['10.1.2.3', '10.1.2.4', '192.0.2.1', 'fd00:1::7', 'fd00:2::7'].map(address => peers.of(address).name),
    ['peer one-host', 'peer subnet=', 'peer everythi', 'peer subnet=', 'peer everythi'],
  )
  t.equal(peers.of('10.1.2.3'), peers.of('10.1.2.3'))
  t.equal(peers.of('10.1.2.3').guaranteed, 33)
})

t.test('with another config: who stays keeps what is counted, who goes has nothing for certain', async t => {
  const shares = new Shares(100)
  const peers = new Peers(shares)
  const one = { publicKey: 'one', allowedIps: [v4('10.0.0.1', 32)] }
  const two = { publicKey: 'two', allowedIps: [v4('10.0.0.2', 32)] }
  peers.configure([one, two])
  const [first, second] = [peers.of('10.0.0.1'), peers.of('10.0.0.2')]
  shares.use(first, 7)
  peers.configure([{ ...one, allowedIps: [v4('10.0.0.9', 32)] }])
  t.equal(peers.of('10.0.0.9'), first)
  t.same([first.used, first.guaranteed, second.guaranteed], [7, 100, 0])
  const stranger = peers.of('10.0.0.2')
  t.not(stranger, second)
  t.same([stranger.name, stranger.guaranteed], ['who is no peer', 0])
  t.equal(peers.of('10.0.0.1'), stranger)
})
