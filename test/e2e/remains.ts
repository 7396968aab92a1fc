import { existsSync, globSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Host } from '../lab/lab.ts'

/** Asserts that an end which used this interface on this host has left nothing. */
export async function nothingLeft(t: Test, host: Host, name: string): Promise<void> {
  t.same(await leftBehind(host, name), [])
  t.equal(await host.exec('ss', '-Hltnu'), '', 'nothing listens')
}

/** What an end which used this interface on this host has left, listeners apart. */
export async function leftBehind(host: Host, name: string): Promise<string[]> {
  const links: { ifname: string }[] = JSON.parse(await host.exec('ip', '-json', 'link', 'show'))
  const lock = `@wg-punchhole/${name}`
  return [
    ...links.filter(link => link.ifname === name).map(() => `interface ${name}`),
    ...['sock', 'admin.json']
      .map(suffix => `/var/run/wireguard/${name}.${suffix}`)
      .filter(path => existsSync(path)),
    ...processesWith(name).map(commandLine => `process ${commandLine}`),
    ...((await host.exec('cat', '/proc/net/unix')).includes(lock) ? [`lock ${lock}`] : []),
  ]
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
