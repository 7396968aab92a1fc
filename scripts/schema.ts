import { writeFileSync } from 'node:fs'
import { type ConversionConfig, toJsonSchema } from '@valibot/to-json-schema'
import { udpForms } from '../src/config/config.ts'
import { forwardSchema } from '../src/config/forward-schema.ts'
import { configSchema } from '../src/config/schema.ts'

/** What valibot cannot say: where the connections of a forward go is one key, or the other, or both. */
export const targetOrRoutes = { anyOf: [{ required: ['target'] }, { required: ['routes'] }] }

/** Nor what some keys of a forward may be with each protocol. */
export const isUdp = { properties: { protocol: { const: 'udp' } }, required: ['protocol'] }
export const ofProtocol = {
  tcp: {
    acceptProxy: { enum: [false, true, 'v1', 'v2'] },
    sendProxy: { enum: [false, 'v1', 'v2'] },
    timeouts: { propertyNames: { enum: ['connect', 'header', 'idle', 'halfClosed'] } },
  },
  udp: {
    acceptProxy: { enum: [false, true, ...udpForms] },
    sendProxy: { enum: [false, ...udpForms] },
    check: { const: false },
    routes: { const: 'left out' },
    timeouts: { propertyNames: { enum: ['udp', 'proxyFirst'] } },
  },
}

/** config.schema.json, which editors and the chart use, from the schema that the program itself reads with. */
export function jsonSchemaText(): string {
  // A check has no JSON Schema; each stands beside a pattern that has one.
  const schema = toJsonSchema(configSchema, { typeMode: 'input', ignoreActions: ['check'], overrideSchema })
  const text = JSON.stringify(schema, null, 2)
  // Lists of words on one line, as the formatter has them.
  return `${text.replace(/\[\n([^[\]{}]*)\n\s*\]/g, (_, words: string) => `[${words.trim().replace(/\n\s*/g, ' ')}]`)}\n`
}

const overrideSchema: NonNullable<ConversionConfig['overrideSchema']> = ({ valibotSchema, jsonSchema }) =>
  valibotSchema === forwardSchema
    ? {
        ...jsonSchema,
        ...targetOrRoutes,
        if: isUdp,
        // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword
        then: { properties: ofProtocol.udp },
        else: { properties: ofProtocol.tcp },
      }
    : undefined

if (import.meta.main) writeFileSync(new URL('../config.schema.json', import.meta.url), jsonSchemaText())
