import type { TunnelConfig } from '../config/config.ts'
import { deviceAddresses } from './bring-up.ts'
import { hasIPv6, isOurs, type Link, lostAddresses, mark } from './device.ts'
import { type Ip, ipAnswers } from './ip.ts'
import type { Route } from './own-routes.ts'
import { lostRoutes, routesQuestion } from './routes.ts'

/** What of the tunnel's device can be taken away by somebody else. */
export const losable = ['device', 'link', 'mtu', 'address', 'route'] as const
export type Losable = (typeof losable)[number]

/** Something that this program made, and that is not there any more. */
export interface Loss {
  readonly what: Losable
  /** For people: `route 10.1.10.2/32`. */
  readonly text: string
  /** Data passes without it. */
  readonly serving?: true
}

/**
 * What is missing of the device, its addresses, MTU and routes, or is not as it was made. With the device everything is
 * gone, which is one loss.
 *
 * @param congestionControl what the routes were given.
 * @param isOwn whether this is our device, marked as such or not.
 * @param made prefixes to which this run has made a route.
 */
export async function losses(
  ip: Ip,
  config: TunnelConfig,
  congestionControl: string,
  isOwn: (link: Link) => boolean,
  made: Set<string>,
): Promise<Loss[]> {
  const name = config.interface
  // The routes first: where they went with the link, it is seen to be down.
  const answers = (await ipAnswers(ip, [routesQuestion, `address show dev ${name}`])) as (Link | Route)[]
  const link = answers.find(isLink)
  const routes = answers.filter(answer => !isLink(answer)) as Route[]
  if (link === undefined || !isOwn(link)) return [{ what: 'device', text: `device ${name}` }]
  const lost: Loss[] = []
  if (!isOurs(link))
    lost.push({ what: 'link', text: `alias ${mark}, found ${link.ifalias ?? 'none'}`, serving: true })
  if (!link.flags.includes('UP')) lost.push({ what: 'link', text: `${name} is set down` })
  if (link.mtu !== config.mtu)
    lost.push({ what: 'mtu', text: `MTU ${config.mtu}, found ${link.mtu}`, serving: true })
  for (const address of lostAddresses(deviceAddresses(config), link))
    lost.push({ what: 'address', text: `address ${address}` })
  for (const { prefix, isBackstop } of lostRoutes(config, routes, congestionControl, {
    ipv6: hasIPv6(name),
    made,
  }))
    lost.push({
      what: 'route',
      text: `route ${prefix}${isBackstop ? ' unreachable' : ''}`,
      ...(isBackstop && { serving: true }),
    })
  return lost
}

function isLink(answer: Link | Route): answer is Link {
  return 'ifname' in answer
}
