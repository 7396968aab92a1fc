import type { UdpForm } from '../../src/config/config.ts'
import { FarEnd } from '../../src/datagram/far-end.ts'
import type { FlowSource } from '../../src/datagram/reading.ts'
import { FormReceiver } from '../../src/datagram/receiver.ts'
import { FormSender } from '../../src/datagram/sender.ts'
import { encodeProxyV2 } from '../../src/proxy/proxy-header.ts'
import { type Random, seeded } from '../lab/random.ts'

/**
 * Two ends and a path between them, played from a seed: clients send, the near end has a flow (and a source port) for each,
 * the far end has one towards an echoing target. Whatever arrives says in its content whose it is.
 */

export interface Play {
  readonly form: UdpForm
  readonly seed: number
  /** FLOW is used. */
  readonly isMarked: boolean
  /** Percent of the datagrams between the ends. */
  readonly loss: number
  readonly doubled: number
  /** Milliseconds that a datagram is under way, at most; the least is 1. */
  readonly delay: number
  /** Nothing overtakes what was sent before it in its direction. */
  readonly isInOrder: boolean
  readonly farRestarts: boolean
  readonly nearRestarts: boolean
  /** Milliseconds for which a source port is left alone after its flow. */
  readonly rest: number
  /** Source ports of the near end: with fewer than clients, flows have to end. */
  readonly ports: number
}

export interface Outcome {
  /** What must never be, in words. */
  readonly wrong: string[]
  sent: number
  /** Payloads that came to the target, each once. */
  readonly arrived: Set<string>
  readonly answered: Set<string>
  readonly lost: string[]
  /** Datagrams that an end gave up, or had no room for. */
  givenUp: number
  /** Payloads that went without a header. */
  bare: number
  drops: Map<string, number>
}

const mtuPayload = 1392
const nearHost = '10.1.10.1'
const proxyFirst = 2000
const nearIdle = 500
const farIdle = 350
const runFor = 6000
/** Of the clients. */
export const clients = 20
/** After this, nothing of a flow that has ended at the near end is still to come from the far end. */
const quiet = farIdle + 400

interface NearFlow {
  readonly port: number
  readonly client: number
  readonly sender: FormSender
  usedAt: number
}

interface FarFlow {
  source: FlowSource
  usedAt: number
}

const clientAt = (client: number) => ({ address: `203.0.113.${client}`, port: 40_000 + client })
const destination = { address: '198.51.100.20', port: 53 }

export function play(options: Play): Outcome {
  return new World(options).run()
}

class World {
  readonly #options: Play
  readonly #random: Random
  readonly outcome: Outcome = {
    wrong: [],
    sent: 0,
    arrived: new Set(),
    answered: new Set(),
    lost: [],
    givenUp: 0,
    bare: 0,
    drops: new Map(),
  }
  readonly #events: { at: number; what: () => void }[] = []
  #now = 0
  /** When the last datagram arrives, each way. */
  readonly #last = { there: 0, back: 0 }
  #far = new FarEnd<FormSender>()
  #receiver: FormReceiver
  readonly #near = new Map<number, NearFlow>()
  readonly #ports = new Map<number, { flow: NearFlow | undefined; freeAt: number }>()
  #farFlows = new Map<string, FarFlow>()
  readonly #expected = new Set<string>()

  constructor(options: Play) {
    this.#options = options
    this.#random = seeded(options.seed)
    this.#receiver = new FormReceiver(options.form, proxyFirst)
    for (let port = 1; port <= options.ports; port++)
      this.#ports.set(50_000 + port, { flow: undefined, freeAt: 0 })
  }

  run(): Outcome {
    const random = this.#random
    this.#again(0, 8, runFor, () => this.#send(random.between(1, clients)))
    this.#again(50, 50, runFor + 3000, () => this.#sweep())
    if (this.#options.farRestarts) this.#again(100, 900, runFor, () => this.#restartFar())
    if (this.#options.nearRestarts) this.#again(300, 1500, runFor, () => this.#restartNear())
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      this.#now = next.at
      next.what()
    }
    for (const text of this.#expected) if (!this.outcome.arrived.has(text)) this.outcome.lost.push(text)
    return this.outcome
  }

  #after(delay: number, what: () => void): void {
    this.#events.push({ at: this.#now + delay, what })
  }

  /** Does it again and again until then, with pauses of so many milliseconds. */
  #again(least: number, most: number, until: number, what: () => void): void {
    this.#after(this.#random.between(least, most), () => {
      if (this.#now >= until) return
      what()
      this.#again(least, most, until, what)
    })
  }

  #next(): { at: number; what: () => void } | undefined {
    let least = 0
    for (let i = 1; i < this.#events.length; i++) if (this.#events[i]!.at < this.#events[least]!.at) least = i
    const [next] = this.#events.splice(least, 1)
    return next
  }

  /** Over the path: lost, doubled, and delayed each by its own time. */
  #carry(way: 'there' | 'back', bytes: Buffer, arrive: (bytes: Buffer) => void): void {
    const { loss, doubled, delay, isInOrder } = this.#options
    const copy = Buffer.from(bytes)
    for (let left = this.#random.between(1, 100) <= doubled ? 2 : 1; left > 0; left--) {
      if (this.#random.between(1, 100) <= loss) continue
      let at = this.#now + this.#random.between(1, delay)
      if (isInOrder) at = this.#last[way] = Math.max(at, this.#last[way])
      this.#after(at - this.#now, () => arrive(Buffer.from(copy)))
    }
  }

  #payload(client: number): Buffer {
    const name = `<${client} ${this.outcome.sent}>`
    const forged = encodeProxyV2(clientAt(client + 100), destination, [], 107, 'udp').bytes
    switch (this.#random.between(0, 9)) {
      case 0:
        return Buffer.concat([forged, Buffer.from(name)])
      case 1:
        return Buffer.concat([forged.subarray(0, 13), Buffer.from(name)])
      case 2:
        return Buffer.concat([Buffer.of(0x56, 0xec), Buffer.alloc(40), Buffer.from(name)])
      case 3:
      case 4:
        return Buffer.from(name.padEnd(mtuPayload, '.'))
      case 5:
        return Buffer.from(name.padEnd(mtuPayload - this.#random.between(-1, 60), '.'))
      default:
        return Buffer.from(name)
    }
  }

  #send(client: number): void {
    const flow = this.#near.get(client) ?? this.#begin(client)
    if (flow === undefined) return
    const payload = this.#payload(client)
    this.outcome.sent++
    flow.usedAt = this.#now
    const header = flow.sender.wrap(payload, this.#now)
    for (const datagram of flow.sender.take()) this.#toFar(flow, datagram)
    if (typeof header === 'string') {
      this.#count(header)
      if (header === 'kept') this.#expected.add(payload.toString('latin1'))
      return
    }
    if (header.length === 0) this.outcome.bare++
    this.#expected.add(payload.toString('latin1'))
    this.#toFar(flow, Buffer.concat([header, payload]))
  }

  #count(what: string, many = 1): void {
    this.outcome.drops.set(what, (this.outcome.drops.get(what) ?? 0) + many)
  }

  #begin(client: number): NearFlow | undefined {
    const free = [...this.#ports].filter(([, { flow, freeAt }]) => flow === undefined && freeAt <= this.#now)
    // The flow that has been idle longest goes; its port rests, so this client has to send again.
    if (free.length === 0) {
      if (this.#random.between(1, 4) === 1)
        this.#end([...this.#near.values()].toSorted((a, b) => a.usedAt - b.usedAt)[0])
      return undefined
    }
    const [port] = this.#random.pick(free)
    const nonce = Buffer.alloc(8)
    for (let i = 0; i < 8; i++) nonce[i] = this.#random.between(0, 255)
    const sender = new FormSender(
      {
        form: this.#options.form,
        client: clientAt(client),
        destination,
        tlvs: [],
        limit: 107,
        mtuPayload,
        proxyFirst,
        nonce: this.#options.isMarked ? nonce : undefined,
      },
      this.#far,
    )
    const flow = { port, client, sender, usedAt: this.#now }
    this.#near.set(client, flow)
    this.#ports.set(port, { flow, freeAt: 0 })
    return flow
  }

  #end(flow: NearFlow | undefined): void {
    if (flow === undefined) return
    this.outcome.givenUp += flow.sender.end()
    this.#near.delete(flow.client)
    this.#ports.set(flow.port, { flow: undefined, freeAt: this.#now + this.#options.rest })
  }

  #toFar({ port }: NearFlow, datagram: Buffer): void {
    if (datagram.length > mtuPayload) this.outcome.wrong.push(`a datagram of ${datagram.length} bytes`)
    this.#carry('there', datagram, bytes => this.#atFar(bytes, { address: nearHost, port }))
  }

  #atFar(bytes: Buffer, sender: { address: string; port: number }): void {
    const reading = this.#receiver.read(bytes, sender, this.#now)
    const answer = reading.kind === 'dropped' ? undefined : reading.answer
    if (reading.kind === 'dropped') {
      this.#count(reading.reason)
      if (reading.reason === 'backlog') this.outcome.givenUp++
    }
    if (answer !== undefined) this.#carry('back', answer, answered => this.#atNear(answered, sender.port))
    if (reading.kind !== 'told') return
    const { source, payload, kept, ended } = reading
    if (ended !== undefined) this.#farFlows.delete(ended)
    let flow = this.#farFlows.get(source.key)
    if (flow !== undefined && flow.source.client.port !== source.client.port) {
      this.#farFlows.delete(source.key)
      flow = undefined
    }
    if (flow === undefined) {
      flow = { source, usedAt: this.#now }
      this.#farFlows.set(source.key, flow)
    }
    flow.source = source
    flow.usedAt = this.#now
    for (const one of kept) this.#atTarget(one, flow)
    if (payload !== undefined) this.#atTarget(payload, flow)
  }

  #atTarget(payload: Buffer, flow: FarFlow): void {
    const text = payload.toString('latin1')
    this.outcome.arrived.add(text)
    const [, client] = /<(\d+) \d+>/.exec(text) ?? []
    if (!this.#expected.has(text))
      this.outcome.wrong.push(`the target got ${JSON.stringify(text.slice(0, 80))}`)
    const { address } = flow.source.client
    if (address !== clientAt(Number(client)).address)
      this.outcome.wrong.push(`the target takes ${text.slice(-12)} for one of ${address}`)
    this.#after(this.#random.between(0, 300), () => {
      if (this.#farFlows.get(flow.source.key) !== flow) return
      flow.usedAt = this.#now
      const header = this.#receiver.wrapReply(payload, flow.source, mtuPayload)
      if (typeof header === 'string') return
      const { port } = flow.source.sender
      this.#carry('back', Buffer.concat([header, payload]), bytes => this.#atNear(bytes, port))
    })
  }

  #atNear(bytes: Buffer, port: number): void {
    const flow = this.#ports.get(port)?.flow
    if (flow === undefined) return
    const reply = flow.sender.reply(bytes, this.#now)
    for (const datagram of flow.sender.take()) this.#toFar(flow, datagram)
    if (typeof reply === 'string') {
      this.#count(reply)
      return
    }
    const text = reply.toString('latin1')
    this.outcome.answered.add(text)
    if (!text.includes(`<${flow.client} `) || !this.#expected.has(text))
      this.outcome.wrong.push(`client ${flow.client} got ${JSON.stringify(text.slice(-40))}`)
  }

  #sweep(): void {
    for (const flow of [...this.#near.values()]) if (this.#now - flow.usedAt > nearIdle) this.#end(flow)
    for (const [key, flow] of this.#farFlows) {
      if (this.#now - flow.usedAt <= farIdle) continue
      this.#farFlows.delete(key)
      this.#receiver.forget(flow.source)
    }
    this.outcome.givenUp += this.#receiver.expire(this.#now)
  }

  #restartFar(): void {
    this.outcome.givenUp += this.#receiver.expire(Number.MAX_SAFE_INTEGER)
    this.#receiver = new FormReceiver(this.#options.form, proxyFirst)
    this.#farFlows = new Map()
  }

  /** What it knew of the far end is gone: nothing tells a late reply of before from one of its own until it has learnt it. */
  #restartNear(): void {
    for (const flow of [...this.#near.values()]) this.#end(flow)
    for (const place of this.#ports.values()) place.freeAt = this.#now + Math.max(quiet, this.#options.rest)
    this.#far = new FarEnd()
  }
}
