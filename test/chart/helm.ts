import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import { execute } from '../lab/execute.ts'

/** Helm and kubeconform, as the tests of the chart use them. */

export const root = new URL('../../', import.meta.url).pathname
export const chart = `${root}chart`

const folder = await run(`${root}scripts/go-tools.sh`, ['--have'])

/** Why a test cannot run here, `false` when it can. */
export const skip =
  folder.status !== 0 && 'helm and kubeconform are not built; scripts/go-tools.sh builds them'

export interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** An object of Kubernetes; tests look into it by path. */
// biome-ignore lint/suspicious/noExplicitAny: as deep as Kubernetes is
export type KubernetesObject = any

export function helm(...args: string[]): Promise<Outcome> {
  return run(`${folder.stdout.trim()}/helm`, args)
}

/** The same with a text at stdin, for `--values -`. */
export function helmWith(input: string, ...args: string[]): Promise<Outcome> {
  return run(`${folder.stdout.trim()}/helm`, args, input)
}

export function kubeconform(manifest: string): Promise<Outcome> {
  const schemas = `${root}test/fixtures/kubernetes-schemas/{{.ResourceKind}}{{.KindSuffix}}.json`
  return run(
    `${folder.stdout.trim()}/kubeconform`,
    ['-strict', '-summary', '-schema-location', schemas, '-'],
    manifest,
  )
}

export function template(values: object, ...args: string[]): Promise<Outcome> {
  const options = ['--namespace', 'edge', '--values', '-', ...args]
  return helmWith(JSON.stringify(values), 'template', 'home', chart, ...options)
}

/** The objects that the chart makes of these values, by kind and name; throws what Helm says when it refuses. */
export async function render(values: object, ...args: string[]): Promise<Map<string, KubernetesObject>> {
  const { status, stdout, stderr } = await template(values, ...args)
  if (status !== 0) throw new Error(stderr)
  return objects(stdout)
}

export function objects(manifest: string): Map<string, KubernetesObject> {
  // Kubernetes reads YAML 1.1, in which 0400 is octal.
  const documents = parseAllDocuments(manifest, { version: '1.1' })
  const all = documents.map(document => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })
  return new Map(all.map(object => [`${object.kind}/${object.metadata.name}`, object]))
}

/** The smallest values that the chart takes. */
export const minimal = {
  tunnel: { existingSecret: 'wg' },
  config: { forwards: { http: { listen: 'tunnel:80', target: 'traefik.dmz.svc.cluster.local.:80' } } },
}

export function read(path: string): string {
  return readFileSync(`${root}${path}`, 'utf8')
}

async function run(file: string, args: string[], input = ''): Promise<Outcome> {
  const { code, stdout, stderr } = await execute([file, ...args], input)
  return { status: code ?? 1, stdout, stderr }
}
