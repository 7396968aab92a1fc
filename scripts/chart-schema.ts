import { writeFileSync } from 'node:fs'
import { type JsonSchema as Schema, toJsonSchema } from '@valibot/to-json-schema'
import { forwardSchema } from '../src/config/forward-schema.ts'
import { configSchema } from '../src/config/schema.ts'
import { targetOrRoutes } from './schema.ts'

/**
 * Writes chart/values.schema.json: the chart's own values, with the program's config schema inside, so that
 * `helm install` refuses a wrong forward before anything is changed. Strict but for what is Kubernetes' own.
 */

/** Also read by the tests, which compare the committed file with it. */
export function chartSchema(): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the wg-punchhole chart',
    ...object({
      image: object({
        repository: name,
        tag: string,
        digest: inForm('^(sha256:[0-9a-f]{64})?$', 'sha256: and 64 hexadecimal digits'),
        pullPolicy: { enum: ['IfNotPresent', 'Always', 'Never'] },
      }),
      imagePullSecrets: list,
      nameOverride: string,
      fullnameOverride: string,
      replicas: { type: 'integer', minimum: 0 },
      gatewayPatience: duration,
      tunnel,
      config: config(),
      service: refuse(object({ enabled: flag, ports: { type: 'array', items: servicePort } }), [
        [
          {
            properties: { enabled: { const: true } },
            not: { required: ['ports'], properties: { ports: { minItems: 1 } } },
          },
          'given ports, for example [{name: https, port: 443, targetPort: 8443}], when it is enabled',
        ],
      ]),
      resources: map,
      terminationGracePeriodSeconds: { type: 'integer', minimum: 1 },
      dnsPolicy,
      dnsConfig: map,
      hostAliases: list,
      nodeSelector: map,
      tolerations: list,
      affinity: map,
      topologySpreadConstraints: list,
      priorityClassName: string,
      podAnnotations: map,
      podLabels: map,
      extraEnv: {
        type: 'object',
        propertyNames: inForm('^[-._a-zA-Z][-._a-zA-Z0-9]*$', 'the name of an environment variable'),
        additionalProperties: { type: ['string', 'number', 'boolean'] },
      },
      metrics: object({
        podMonitor: object({
          enabled: flag,
          interval: duration,
          labels: map,
        }),
        prometheusRule: object({ enabled: flag, labels: map }),
        dashboard: object({ enabled: flag, labels: map }),
      }),
      networkPolicy: object({ enabled: flag, adminFrom: list, egress: list }),
      podDisruptionBudget: object({ enabled: flag, maxUnavailable: { type: ['integer', 'string'] } }),
      global: map,
    }),
  }
}

const string: Schema = { type: 'string' }
const name: Schema = { type: 'string', minLength: 1 }
const flag: Schema = { type: 'boolean' }
const port: Schema = { type: 'integer', minimum: 1, maximum: 65535 }
const duration = inForm('^[1-9][0-9]*(ms|s|m|h)$', 'a duration such as 30s')
/** One, or a list of them. */
const text: Schema = { type: ['string', 'array'], items: name }
/** Kubernetes' own, passed through as it stands. */
const map: Schema = { type: 'object' }
const list: Schema = { type: 'array', items: { type: 'object' } }

/** Empty: left out, which is ClusterFirst. */
const dnsPolicy: Schema = { enum: ['', 'ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'] }

const servicePort: Schema = {
  type: 'object',
  properties: { name, port, targetPort: port, protocol: { const: 'TCP' }, appProtocol: name },
  required: ['name', 'port'],
  additionalProperties: false,
}

const tunnel = refuse(
  object({
    existingSecret: string,
    secretKey: inForm('^[-._a-zA-Z0-9]+$', 'a key of a Secret: letters, digits, - _ .'),
    wgConf: text,
    mode: refuse({ enum: ['tun', 'netstack'] }, [
      [{ const: 'netstack' }, 'tun: netstack is not supported yet'],
    ]),
    device: { enum: ['hostPath', 'devicePlugin', 'privileged'] },
    deviceResource: string,
  }),
  [
    [
      { properties: { existingSecret: { maxLength: 0 }, wgConf: { maxLength: 0, maxItems: 0 } } },
      'given existingSecret (the name of a Secret that holds wg0.conf) or wgConf (the text of the file)',
    ],
    [
      {
        properties: { existingSecret: { minLength: 1 }, wgConf: { minLength: 1, minItems: 1 } },
        required: ['existingSecret', 'wgConf'],
      },
      'given one of existingSecret and wgConf, not both',
    ],
    [
      { properties: { device: { const: 'devicePlugin' }, deviceResource: { maxLength: 0 } } },
      'given deviceResource, for example squat.ai/tun, when device is devicePlugin',
    ],
  ],
)

/** The program's config without what the chart sets itself. */
function config(): Schema {
  const { $schema: _, ...schema } = toJsonSchema(configSchema, {
    typeMode: 'input',
    errorMode: 'ignore',
    overrideAction: ({ valibotAction, jsonSchema: { pattern, ...rest } }) =>
      valibotAction.type === 'regex' && pattern !== undefined
        ? { ...rest, ...inForm(pattern, messageOf(valibotAction)) }
        : undefined,
    overrideSchema: ({ valibotSchema, jsonSchema: { anyOf, ...rest } }) =>
      valibotSchema === forwardSchema
        ? { ...rest, if: targetOrRoutes, else: { const: 'given target, or routes, or both' } }
        : valibotSchema.type === 'union' && anyOf !== undefined
          ? { ...rest, if: { anyOf }, else: { const: messageOf(valibotSchema) } }
          : undefined,
  }) as Schema
  const { admin, tunnel } = schema.properties as Record<'admin' | 'tunnel', Schema>
  admin.properties!.listen = { const: 'left out: the chart sets it, to :9586' }
  tunnel.properties!.wgConf = { const: 'left out: use tunnel.existingSecret or tunnel.wgConf of the chart' }
  return schema
}

/** What the program says is allowed. */
function messageOf(part: object): string {
  const { message } = part as { message: string | ((issue: { input: string }) => string) }
  return typeof message === 'string' ? message : message({ input: '' })
}

/** All keys are required (values.yaml has them all), but a person may remove one of Kubernetes' own with null. */
function object(properties: Record<string, Schema>): Schema {
  const open = [string, map, list, text, dnsPolicy]
  return {
    type: 'object',
    properties,
    required: Object.keys(properties).filter(key => !open.includes(properties[key]!)),
    additionalProperties: false,
  }
}

/**
 * JSON Schema has no messages of its own: of a pattern Helm would print the expression, of a condition nothing.
 * It does print the value that `const` wants, "value must be '…'": so that is where the message goes.
 */
function refuse(schema: Schema, cases: [when: Schema, message: string][]): Schema {
  const chain = cases.reduceRight<Schema | undefined>(
    (rest, [when, message]) => ({
      if: when,
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword
      then: { const: message },
      ...(rest && { else: rest }),
    }),
    undefined,
  )
  return { ...schema, ...chain }
}

/** A string of a form; `form` says it for people. */
function inForm(pattern: string, form: string): Schema {
  return { type: 'string', if: { pattern }, else: { const: form } }
}

if (import.meta.main) {
  const file = new URL('../chart/values.schema.json', import.meta.url)
  writeFileSync(file, `${JSON.stringify(chartSchema(), null, 2)}\n`)
}
