import type { TunnelConfig } from '../config/config.ts'
import { EndError, messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { bindableAddresses, type Running, setListenPort, setUpDevice, usableAddresses } from './bring-up.ts'
import { addAddresses, ensureDevice } from './device.ts'
import type { Ip } from './ip.ts'
import type { EndpointNames } from './names.ts'
import { UapiError } from './uapi.ts'
import { changeLines, type EndpointOf } from './uapi-codec.ts'

/** What it takes to get from one config to the next, without a restart. */
export interface Change {
  readonly from: TunnelConfig
  readonly to: TunnelConfig
  /** `undefined` while wireguard-go is away: then the next one gets the config as a whole. */
  readonly running: Running | undefined
  readonly ip: Ip
  readonly log: Log
  readonly names: EndpointNames
  readonly endpointOf: EndpointOf
  /** Of the routes. */
  readonly made: Set<string>
  /** Called with the addresses of both configs there: what is to listen on the new ones can be bound. */
  readonly bind: (addresses: readonly string[]) => Promise<void>
  /** Called before the first route goes: connections to addresses that this config gives no peer are cut. */
  readonly heed: (config: TunnelConfig) => Promise<void>
}

/**
 * Changes a tunnel, what is most likely to fail first. Whatever fails, everything before it is taken back.
 *
 * @throws EndError LISTEN_FAILED for a ListenPort that is not to be had, IP_FAILED, UAPI, or what `bind` threw.
 */
export async function change(options: Change): Promise<{ congestionControl: string }> {
  const { from, to, running, ip, log, names, endpointOf, made, bind, heed } = options
  await using undo = new AsyncDisposableStack()
  const onFailure = (takeBack: () => Promise<unknown>) =>
    undo.defer(async () => {
      await takeBack().catch(error => log.warn({ error: messageOf(error) }, 'tunnel change not taken back'))
    })
  // With wireguard-go away the device may be, too.
  await ensureDevice(ip, to.interface)
  const addresses = usableAddresses(to)
  onFailure(() => setUpDevice(ip, from, log, made))
  await addAddresses(ip, to.interface, addresses)
  await bind(bindableAddresses(to))
  if (running !== undefined) {
    const { uapi } = running
    await orEnd(running, async () => {
      const { listenPort } = await uapi.get()
      onFailure(async () => setListenPort(uapi, await uapi.get(), { listenPort }))
      await setListenPort(uapi, { listenPort }, to)
      onFailure(() => uapi.set(changeLines(to, from, endpointOf)))
      const goBack = names.apply(to.peers)
      onFailure(async () => goBack())
      await uapi.set(changeLines(from, to, endpointOf))
    })
  }
  onFailure(() => heed(from))
  await heed(to)
  const device = await setUpDevice(ip, to, log, made)
  undo.move()
  return device
}

/** One that refuses nothing and yet does not answer is ended: the next one gets the config as a whole. */
async function orEnd({ process }: Running, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const refused =
      error instanceof UapiError || (error instanceof EndError && error.code === 'LISTEN_FAILED')
    if (refused) throw error
    void process.stop()
  }
}
