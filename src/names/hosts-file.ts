import { familyOf } from '../address.ts'

/** The addresses that a hosts file gives a name, in its order; hosts(5). A dot at the end of either name makes no difference. */
export function fromHostsFile(text: string, host: string): string[] {
  const name = bare(host)
  const found: string[] = []
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    // One with a zone (`fe80::1%eth0`) means something on this host alone, and is no target.
    if (familyOf(address) !== 0 && names.some(alias => bare(alias) === name)) found.push(address)
  }
  return found
}

function bare(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}
