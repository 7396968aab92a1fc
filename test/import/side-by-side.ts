import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { importText } from '../../src/import/import.ts'
import { endFolder, startEnd } from '../lab/end.ts'
import type { Host, Lab } from '../lab/lab.ts'
import type { Case, Row } from './haproxy-files.ts'
import type { Answer, Probe } from './probes.ts'

/**
 * HAProxy with the files of the table, and one end with the configs that the import makes of them:
 *
 *     haproxy   one HAProxy for each file      the same probes, the same back ends
 *     ours      one end for all                on the same addresses and ports
 *
 * Two hosts of a lab, each with a loopback and nothing else.
 */
export class SideBySide {
  readonly #haproxy: Host
  readonly #ours: Host

  private constructor(haproxy: Host, ours: Host) {
    this.#haproxy = haproxy
    this.#ours = ours
  }

  /** @param rows those with probes. */
  static async start(lab: Lab, rows: readonly Row[]): Promise<SideBySide> {
    const [haproxy, ours] = await Promise.all([hostOf(lab, 'haproxy'), hostOf(lab, 'ours')])
    await Promise.all([
      ...rows.map(row => startHaproxy(lab, haproxy, row)),
      startOurs(
        lab,
        ours,
        rows.filter(row => row.messages === undefined),
      ),
    ])
    return new SideBySide(haproxy, ours)
  }

  askHaproxy(row: Row, probe: Probe): Promise<Answer> {
    return askOn(this.#haproxy, row, probe)
  }

  askOurs(row: Row, probe: Probe): Promise<Answer> {
    return askOn(this.#ours, row, probe)
  }
}

const probes = join(import.meta.dirname, 'probes.ts')

async function hostOf(lab: Lab, name: string): Promise<Host> {
  const host = await lab.host(name)
  await host.exec('ip', 'address', 'add', '2001:db8::1/128', 'dev', 'lo', 'nodad')
  await host.run(async path => (await import(path)).serve(), probes)
  return host
}

/** `<0>` to `<19>` are ports of the row's own. */
export function withPorts(row: Row, text: string): string {
  return text.replace(/<(\d+)>/g, (_, index) => String(row.port + Number(index)))
}

export function fileOf(row: Row): string {
  return `${withPorts(row, row.file.trim())}\n`
}

async function startHaproxy(lab: Lab, host: Host, row: Row): Promise<void> {
  const path = join(lab.folder, `${row.port}.cfg`)
  await writeFile(path, fileOf(row))
  // As master and worker it says when it listens.
  const running = host.start('haproxy', ['-W', '-n', '100', '-f', path])
  const deadline = Date.now() + 60_000
  while (!running.output.includes('Loading success')) {
    if (Date.now() > deadline || running.child.exitCode !== null)
      throw new Error(`HAProxy does not start with ${row.name}: ${running.output}`)
    await sleep(20)
  }
}

/** Each file's forwards under names of their own. */
async function startOurs(lab: Lab, host: Host, rows: readonly Row[]): Promise<void> {
  const forwards: Record<string, unknown> = {}
  for (const row of rows) {
    const { yaml, messages } = await importText('haproxy.cfg', fileOf(row))
    if (yaml === undefined) throw new Error(`${row.name} is not imported: ${messages.join('\n')}`)
    for (const [name, forward] of Object.entries(parse(yaml).forwards))
      forwards[`${row.port}-${name}`] = forward
  }
  const folder = await endFolder(lab, 'ours', { config: JSON.stringify({ forwards }) })
  const end = startEnd(host, folder)
  await end.logged(({ msg, status }) => msg === 'health changed' && status !== 'unready', { ms: 60_000 })
}

async function askOn(host: Host, row: Row, probe: Probe): Promise<Answer> {
  const asked = { ...probe, to: withPorts(row, probe.to) }
  return host.run(async ({ path, asked }) => (await import(path)).ask(asked), { path: probes, asked })
}

/** The same probes, and the answers of the table. */
export async function compare(t: Test, sides: SideBySide, row: Row): Promise<void> {
  for (const probe of row.cases) {
    const { answer, ours = answer } = probe
    await Promise.all([
      hear(t, 'HAProxy', withPorts(row, answer), probe, () => sides.askHaproxy(row, probe)),
      ...(row.messages === undefined
        ? [hear(t, 'ours', withPorts(row, ours), probe, () => sides.askOurs(row, probe))]
        : []),
    ])
  }
  if (row.warnings !== undefined)
    t.same((await importText('haproxy.cfg', fileOf(row))).messages, row.warnings, 'it is said')
}

async function hear(
  t: Test,
  who: string,
  wanted: string,
  { after = 0, isEventual = false }: Case,
  ask: () => Promise<Answer>,
): Promise<void> {
  const deadline = Date.now() + 20_000
  let answer = await ask()
  while (isEventual && answer.heard !== wanted && Date.now() < deadline) answer = await ask()
  t.equal(answer.heard, wanted, `${who}: ${wanted}`)
  // Timers of two processes may differ by a tick.
  t.ok(answer.ms >= after - 20, `${who}: after ${answer.ms} ms`)
}
