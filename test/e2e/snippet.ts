import { readFileSync } from 'node:fs'

const page = readFileSync(new URL('../../docs/reverse-proxies.md', import.meta.url), 'utf8')

/** The settings in docs/reverse-proxies.md that are marked with this language. */
export function snippet(language: string): string {
  const found = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)
  if (found === null) throw new Error(`docs/reverse-proxies.md has no ${language}`)
  return found[1]!
}
