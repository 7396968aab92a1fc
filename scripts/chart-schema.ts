import { writeFileSync } from 'node:fs'
import { type JsonSchema as Schema, toJsonSchema } from '@valibot/to-json-schema'
import { hostPortsPattern } from '../src/config/field.ts'
import { forwardSchema } from '../src/config/forward-schema.ts'
import { configSchema } from '../src/config/schema.ts'
import { isUdp, ofProtocol, targetOrRoutes } from './schema.ts'

/**
 * Writes chart/values.schema.json: the chart's own values, with the program's config schema inside, so that
 * `helm install` refuses a wrong forward before anything is changed. Strict but for what is Kubernetes' own.
 */

/** Also read by the tests, which compare the committed file with it. */
export function chartSchema(): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the wg-punchhole chart',
    definitions: { ascendingPorts: ascendingPorts() },
    ...object({
      // No template reads it: it is there for the condition of a parent chart.
      enabled: flag,
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
            required: ['enabled'],
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
    required: ['tunnel'],
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
  properties: { name, port, targetPort: port, protocol: { enum: ['TCP', 'UDP'] }, appProtocol: name },
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
      {
        properties: { device: { const: 'devicePlugin' }, deviceResource: { maxLength: 0 } },
        required: ['device'],
      },
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
        ? { ...rest, ...inForm(pattern, messageOf(valibotAction), ...ofRange(pattern)) }
        : undefined,
    overrideSchema: ({ valibotSchema, jsonSchema: { anyOf, ...rest } }) =>
      valibotSchema === forwardSchema
        ? {
            ...rest,
            if: targetOrRoutes,
            else: { const: 'given target, or routes, or both' },
            allOf: [
              {
                if: isUdp,
                // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword
                then: allowedWith('udp'),
                else: allowedWith('tcp'),
              },
            ],
          }
        : valibotSchema.type === 'union' && anyOf !== undefined
          ? { ...rest, if: { anyOf }, else: { const: messageOf(valibotSchema) } }
          : undefined,
  }) as Schema
  const { admin, tunnel } = schema.properties as Record<'admin' | 'tunnel', Schema>
  admin.properties!.listen = { const: 'left out: the chart sets it, to :9586' }
  tunnel.properties!.wgConf = { const: 'left out: use tunnel.existingSecret or tunnel.wgConf of the chart' }
  return schema
}

/** The keys of a forward whose values depend on its protocol. */
function allowedWith(protocol: 'tcp' | 'udp'): Schema {
  const keys = Object.entries(ofProtocol[protocol] as Record<string, Schema>)
  return {
    properties: Object.fromEntries(
      keys.map(([key, allowed]) => [
        key,
        { if: allowed, else: { const: `${wordsOf(allowed)}, with protocol: ${protocol}` } },
      ]),
    ),
  }
}

function wordsOf({ enum: words, const: word, propertyNames }: Schema): string {
  if (typeof propertyNames === 'object') return `a mapping of ${wordsOf(propertyNames)}`
  return words === undefined ? `${word}` : words.join(', ')
}

/** What the program says is allowed. */
function messageOf(part: object): string {
  const { message } = part as { message: string | ((issue: { input: string }) => string) }
  return typeof message === 'string' ? message : message({ input: '' })
}

/**
 * No key is required that has a default in the templates: `helm upgrade --reuse-values` brings the defaults of the
 * version before, and a person may remove any with null.
 */
function object(properties: Record<string, Schema>): Schema {
  return { type: 'object', properties, additionalProperties: false }
}

/** What a pattern of ports leaves open. */
function ofRange(pattern: string): Schema[] {
  return pattern === hostPortsPattern.source ? [{ $ref: '#/definitions/ascendingPorts' }] : []
}

/**
 * That a range of ports at the end of a text, if there is one, does not descend. A pattern cannot compare numbers, but
 * a schema can go through their digits: the first in which the two differ decides.
 */
function ascendingPorts(): Schema {
  const any = (count: number) => (count === 0 ? '' : `\\d{${count}}`)
  /** Two numbers of this many digits whose digits at this place are one of the pairs. */
  const pattern = (length: number, at: number, pairs: [first: string, second: string][]): Schema => {
    const rest = any(length - at - 1)
    const either = pairs.map(([first, second]) => `${first}${rest}-${any(at)}${second}`).join('|')
    return { pattern: `:${any(at)}(${either})${rest}$` }
  }
  const digits = [...'0123456789']
  const same = digits.map((digit): [string, string] => [digit, digit])
  const less = digits.slice(0, -1).map((digit): [string, string] => [digit, `[${Number(digit) + 1}-9]`])
  const fromDigit = (at: number, length: number): Schema => ({
    if: pattern(length, at, same),
    // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword
    ...(at + 1 < length && { then: fromDigit(at + 1, length) }),
    else: pattern(length, at, less),
  })
  const lengths = [1, 2, 3, 4, 5]
  return {
    not: { pattern: `:(${[2, 3, 4, 5].map(length => `\\d{${length}}-\\d{1,${length - 1}}`).join('|')})$` },
    allOf: lengths.map(length => ({
      if: { pattern: `:${any(length)}-${any(length)}$` },
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword
      then: fromDigit(0, length),
    })),
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

/** A string of a form; `form` says it for people. `more` is what else it must be. */
function inForm(pattern: string, form: string, ...more: Schema[]): Schema {
  const is = more.length === 0 ? { pattern } : { allOf: [{ pattern }, ...more] }
  return { type: 'string', if: is, else: { const: form } }
}

if (import.meta.main) {
  const file = new URL('../chart/values.schema.json', import.meta.url)
  writeFileSync(file, `${JSON.stringify(chartSchema(), null, 2)}\n`)
}
