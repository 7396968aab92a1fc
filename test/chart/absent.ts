import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { parse, stringify } from 'yaml'
import { chart, helm, read } from './helm.ts'

/**
 * Values that lack a key: `helm upgrade --reuse-values` renders a new chart with the default values of the version
 * before, which knew fewer keys. A copy of the chart whose values.yaml lacks them is the same to its templates.
 */

export const defaults = parse(read('chart/values.yaml'))

/** Kubernetes can do without resources, and null takes them away: they do not come back by themselves. */
export const withoutResources = { ...defaults, resources: {} }

/** Everything is rendered, with as few values as that takes. */
export const everything = {
  tunnel: { existingSecret: 'wg' },
  service: { enabled: true, ports: [{ name: 'https', port: 443 }] },
  metrics: {
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
  networkPolicy: { enabled: true },
  podDisruptionBudget: { enabled: true },
}

/** All templates with other default values; the notes, which `helm template` leaves out, as one of them. */
export async function renderWith(t: Test, values: object, given: object) {
  const copy = mkdtempSync(join(tmpdir(), 'chart-'))
  t.teardown(() => rmSync(copy, { recursive: true }))
  cpSync(chart, copy, { recursive: true })
  cpSync(`${copy}/templates/NOTES.txt`, `${copy}/NOTES.txt`)
  writeFileSync(`${copy}/templates/notes.yaml`, 'notes: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n')
  writeFileSync(`${copy}/values.yaml`, stringify(values))
  writeFileSync(`${copy}/given.yaml`, stringify(given))
  return helm('template', 'home', copy, '--namespace', 'edge', '--values', `${copy}/given.yaml`)
}
