import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Makes the schemas that kubeconform holds the chart's objects against, from what an API server says of itself:
 *   kubectl get --raw /openapi/v2 | node test/chart/make-schemas.ts
 * Only the kinds that the chart uses, without their descriptions. Strict: no unknown key, no null.
 */

interface Definition {
  $ref?: string
  type?: string | string[]
  format?: string
  required?: string[]
  enum?: unknown[]
  items?: Definition
  properties?: Record<string, Definition>
  additionalProperties?: Definition | boolean
}

const kinds = {
  'configmap-v1': 'io.k8s.api.core.v1.ConfigMap',
  'deployment-apps-v1': 'io.k8s.api.apps.v1.Deployment',
  'networkpolicy-networking-v1': 'io.k8s.api.networking.v1.NetworkPolicy',
  'pod-v1': 'io.k8s.api.core.v1.Pod',
  'poddisruptionbudget-policy-v1': 'io.k8s.api.policy.v1.PodDisruptionBudget',
  'secret-v1': 'io.k8s.api.core.v1.Secret',
  'service-v1': 'io.k8s.api.core.v1.Service',
  'statefulset-apps-v1': 'io.k8s.api.apps.v1.StatefulSet',
}
const folder = new URL('../fixtures/kubernetes-schemas/', import.meta.url)

const { definitions, info } = JSON.parse(readFileSync(0, 'utf8')) as {
  definitions: Record<string, Definition>
  info: { version: string }
}
const used = new Map<string, Definition>()
for (const name of Object.values(kinds)) use(name)

const lines = [...used].sort().map(([name, schema]) => `${JSON.stringify(name)}: ${JSON.stringify(schema)}`)
const title = `"title": ${JSON.stringify(`Kubernetes ${info.version}`)}`
write('definitions', `{\n${title},\n"definitions": {\n${lines.join(',\n')}\n}\n}\n`)
for (const [file, name] of Object.entries(kinds))
  write(file, `{"$ref": "definitions.json#/definitions/${name}"}\n`)

/** Takes over a definition and all that it refers to. */
function use(name: string): void {
  if (used.has(name)) return
  used.set(name, {})
  used.set(name, name.endsWith('.Quantity') ? { type: ['string', 'number'] } : strict(definitions[name]!))
}

function strict({ $ref, type, format, required, enum: values, items, ...of }: Definition): Definition {
  if ($ref !== undefined) {
    use($ref.slice('#/definitions/'.length))
    return { $ref }
  }
  if (format === 'int-or-string') return { type: ['string', 'integer'] }
  const { properties, additionalProperties = properties === undefined } = of
  return {
    ...(type && { type }),
    ...(required && { required }),
    ...(values && { enum: values }),
    ...(items && { items: strict(items) }),
    ...(properties && { properties: mapValues(properties) }),
    ...(type === 'object' && {
      additionalProperties:
        typeof additionalProperties === 'object' ? strict(additionalProperties) : additionalProperties,
    }),
  }
}

function mapValues(properties: Record<string, Definition>): Record<string, Definition> {
  return Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, strict(schema)]))
}

function write(name: string, text: string): void {
  writeFileSync(new URL(`${name}.json`, folder), text)
}
