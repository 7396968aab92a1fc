import { createHash } from 'node:crypto'
import t from 'tap'
import { killEnd } from '../lab/end.ts'
import { address, ready } from './topology.ts'
import { forms, ports, saidOf, udpWorld } from './udp.ts'
import { hex, talk } from './udp-client.ts'

/** Flows go on when either end has been killed and is there again, and nobody gets what is another's. */
const world = await udpWorld()
t.teardown(() => world.lab.close())
const { client } = world

for (const killed of ['cluster', 'gateway'] as const)
  t.test(`kill -9 of the ${killed} end in the middle`, async t => {
    const digest = (payload: string) =>
      createHash('sha256').update(Buffer.from(payload, 'hex')).digest('hex').slice(0, 16)
    const talks = forms.flatMap(form =>
      [0, 1, 2].map(async number => {
        const payloads = Array.from({ length: 240 }, (_, index) =>
          hex(`${killed} ${form} ${number} ${index}`),
        )
        const heard = await talk(client, {
          host: address.gateway[4],
          port: ports[form],
          payloads,
          pause: 50,
          ms: 2000,
        })
        return { form, payloads, heard }
      }),
    )
    await new Promise(resolve => setTimeout(resolve, 2000))
    await killEnd(world[killed], world.ends[killed], world.interfaces[killed])
    await ready(await world.start(killed))
    for (const { form, payloads, heard } of await Promise.all(talks)) {
      const own = new Map(payloads.map((payload, index) => [digest(payload), index]))
      const said = heard.replies.map(saidOf)
      const strange = said.filter(({ client, port, digest }) => {
        const isClient =
          form === 'bare' ? client === '127.0.0.1' : client === address.client[4] && port === heard.port
        return !isClient || !own.has(digest)
      })
      t.same(strange, [], `${form}: every reply is the client's own`)
      const answered = new Set(said.map(({ digest }) => own.get(digest)))
      const last = payloads.findLastIndex((_, index) => !answered.has(index))
      t.ok(
        answered.size > 60 && last < 220,
        `${form}: ${answered.size} of 240 answered, the last missing one is ${last}`,
      )
    }
  })
