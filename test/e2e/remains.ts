import { existsSync, globSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Host } from '../lab/lab.ts'

/** Asserts that an end which used this interface on this host has left nothing. */
export async function nothingLeft(t: Test, host: Host, name: string): Promise<void> {
  const links: { ifname: string }[] = JSON.parse(await host.exec('ip', '-json', 'link', 'show'))
  t.notOk(
    links.some(link => link.ifname === name),
    'no interface',
  )
  t.notOk(existsSync(`/var/run/wireguard/${name}.sock`), 'no UAPI socket')
  t.notOk(existsSync(`/var/run/wireguard/${name}.admin.json`), 'no admin file')
  t.same(processesWith(name), [], 'no process')
  t.equal(await host.exec('ss', '-Hltnu'), '', 'nothing listens')
  t.notMatch(await host.exec('cat', '/proc/net/unix'), `@wg-punchhole/${name}`, 'no lock')
}

/** The command lines of the processes that have this text in their command line or their environment. */
export function processesWith(text: string): string[] {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'latin1').replaceAll('\0', ' ')
    } catch {
      return '' // it has ended meanwhile
    }
  }
  return globSync('/proc/[0-9]*').flatMap(folder => {
    if (folder === `/proc/${process.pid}`) return []
    const commandLine = read(`${folder}/cmdline`)
    return `${commandLine}${read(`${folder}/environ`)}`.includes(text) ? [commandLine] : []
  })
}
