import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ready, retry, startOurs, type Topology, topology } from './topology.ts'

/** Both ends, and room for a reverse proxy behind them, on the cluster's 127.0.0.1:8080. */
export interface Proxied {
  readonly world: Topology
  /** For the proxy's files. */
  readonly folder: string
  /** What the proxy answers the client, once it does. */
  seen(): Promise<string>
  /** Writes a file into the folder; gives its path. */
  write(name: string, text: string): Promise<string>
}

export async function proxied(): Promise<Proxied> {
  const world = await topology()
  try {
    const gateway = await startOurs(
      world,
      'gateway',
      'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }\n',
    )
    const cluster = await startOurs(
      world,
      'cluster',
      'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }\n',
    )
    await ready(gateway, cluster)
    const folder = join(world.lab.folder, 'proxy')
    await mkdir(folder)
    return {
      world,
      folder,
      seen: () =>
        retry(() =>
          world.client.exec('curl', '--silent', '--fail', '--max-time', '2', 'http://203.0.113.1/'),
        ),
      async write(name, text) {
        await writeFile(join(folder, name), text)
        return join(folder, name)
      },
    }
  } catch (error) {
    await world.lab.close()
    throw error
  }
}

const page = readFileSync(new URL('../../docs/reverse-proxies.md', import.meta.url), 'utf8')

/**
 * The settings in docs/reverse-proxies.md that are marked with this language; with the address of the cluster end here,
 * which is on the proxy's own host, in the place of the page's pod network.
 */
export function snippet(language: string): string {
  const found = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)
  if (found === null) throw new Error(`docs/reverse-proxies.md has no ${language}`)
  return found[1]!.replace('10.42.0.0/16', '127.0.0.0/8')
}
