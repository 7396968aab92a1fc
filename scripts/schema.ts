import { writeFileSync } from 'node:fs'
import { type ConversionConfig, toJsonSchema } from '@valibot/to-json-schema'
import { forwardSchema } from '../src/config/forward-schema.ts'
import { configSchema } from '../src/config/schema.ts'

/** What valibot cannot say: where the connections of a forward go is one key, or the other, or both. */
export const targetOrRoutes = { anyOf: [{ required: ['target'] }, { required: ['routes'] }] }

/** config.schema.json, which editors and the chart use, from the schema that the program itself reads with. */
export function jsonSchemaText(): string {
  // A check has no JSON Schema; each stands beside a pattern that has one.
  const schema = toJsonSchema(configSchema, { typeMode: 'input', ignoreActions: ['check'], overrideSchema })
  const text = JSON.stringify(schema, null, 2)
  // Lists of words on one line, as the formatter has them.
  return `${text.replace(/\[\n([^[\]{}]*)\n\s*\]/g, (_, words: string) => `[${words.trim().replace(/\n\s*/g, ' ')}]`)}\n`
}

const overrideSchema: NonNullable<ConversionConfig['overrideSchema']> = ({ valibotSchema, jsonSchema }) =>
  valibotSchema === forwardSchema ? { ...jsonSchema, ...targetOrRoutes } : undefined

if (import.meta.main) writeFileSync(new URL('../config.schema.json', import.meta.url), jsonSchemaText())
