import { statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { familyOf } from '../address.ts'
import { filesOf } from './files.ts'
import { writeFolder } from './folder.ts'
import { formatPorts } from './forwards.ts'
import { type Pair, parsePair } from './pair.ts'

/**
 * Writes the files of a gateway and a cluster end that belong together, keys made.
 * @returns what to do next, for a person.
 * @throws EndError `USAGE` for a wrong flag, `FOLDER` when the folder is taken or cannot be written.
 */
export function init(args: readonly string[]): string {
  const pair = parsePair(args)
  const files = filesOf(pair)
  writeFolder(pair.folder, files)
  const isRoots = statSync(join(pair.folder, 'gateway')).uid === 0
  return nextSteps(pair, [...files.keys()], isRoots)
}

/** @param isRoots whether the gateway's folder belongs to root, the only one whose files the container may read. */
export function nextSteps(pair: Pair, files: readonly string[], isRoots: boolean): string {
  const gateway = quote(join(pair.folder, 'gateway'))
  const cluster = (name: string) => quote(join(pair.folder, 'cluster', name))
  const ports = [
    `${pair.endpoint.port}/udp`,
    ...pair.forwards.map(({ listen, protocol }) => `${formatPorts(listen)}/${protocol}`),
  ]
  const mount = quote(`${explicit(join(pair.folder, 'gateway'))}:/etc/wg-punchhole:ro`)
  return `Wrote ${files.map(file => join(pair.folder, file)).join(', ')}

On the gateway, ${pair.endpoint.host}, with the folder ${gateway} and the image (docker build -t wg-punchhole .):

${isRoots ? '' : `sudo chown -R 0:0 ${gateway}\n`}sudo docker run -d --name wg-punchhole --restart unless-stopped --network host --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_BIND_SERVICE \\
  --device /dev/net/tun --read-only --security-opt no-new-privileges --stop-timeout 45 -v wg-punchhole:/var/run/wireguard -v ${mount} wg-punchhole

Its firewall must let in ${ports.join(', ')}.

For the cluster, with image.repository in ${cluster('values.yaml')} set to where you pushed the image:

kubectl create namespace edge && kubectl label namespace edge pod-security.kubernetes.io/enforce=privileged
${pair.inline ? '' : `kubectl -n edge apply -f ${cluster('secret.yaml')} && `}helm -n edge install home ./chart --values ${cluster('values.yaml')} --wait

${receiverSteps(pair, cluster('values.yaml'))}${isSearchedFor(pair.target) ? searchedFor(pair.target) : ''}`
}

/** What the target has to know of the header that it gets, or that it gets none. */
function receiverSteps({ forwards, target, cluster }: Pair, values: string): string {
  const has = (protocol: 'tcp' | 'udp') => forwards.some(forward => forward.protocol === protocol)
  const tcp = has('tcp')
    ? `${target} must expect PROXY protocol headers from the pod${cluster.length > 1 ? 's' : ''}.\n`
    : ''
  const udp = has('udp')
    ? `Over UDP it is not told the clients' addresses yet: servers differ in the form that they take, docs/udp.md has a table; write it as sendProxy in ${values}.\n`
    : ''
  return tcp + udp
}

/** A name without a dot at its end. */
function isSearchedFor(target: string): boolean {
  return familyOf(target) === 0 && !target.endsWith('.')
}

function searchedFor(target: string): string {
  return `${target} is looked for along the search list of the pod, where a wildcard in the node's own domain may come first:
give the whole name with a dot at its end, such as ${target.split('.').slice(0, 2).join('.')}.svc.cluster.local., unless it is to be searched for.
`
}

/** A path that docker takes for one: a bare name would be a volume's. */
function explicit(path: string): string {
  return isAbsolute(path) || path.startsWith('../') ? path : `./${path}`
}

/** As one word of a POSIX shell. */
function quote(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
