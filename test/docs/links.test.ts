import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

/** Links between the documents lead somewhere, and every document can be reached from the README. */

const documents = ['README.md', ...globSync('docs/*.md'), ...globSync('bench/*.md')]

/** The places of a document, as GitHub names its headings. */
function anchors(path: string): Set<string> {
  const headings = readFileSync(path, 'utf8').matchAll(/^#+ (.+)$/gm)
  return new Set(
    Array.from(headings, ([, text]) =>
      text!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** The targets of a document's links that are no addresses: `[file, anchor]`. */
function linksOf(path: string): [file: string, anchor: string | undefined][] {
  const text = readFileSync(path, 'utf8').replace(/^```[\s\S]*?^```$/gm, '')
  return Array.from(text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g), ([, target]) => {
    const [file = '', anchor] = target!.split('#')
    return [file === '' ? path : join(dirname(path), file), anchor]
  })
}

t.test('every link leads to a file, and to a heading in it', async t => {
  let count = 0
  for (const path of documents)
    for (const [file, anchor] of linksOf(path)) {
      count++
      t.ok(existsSync(file), `${path}: ${file}`)
      if (anchor !== undefined) t.ok(anchors(file).has(anchor), `${path}: ${file}#${anchor}`)
    }
  t.ok(count > 20)
})

t.test('every document can be reached from the README', async t => {
  const reached = new Set(['README.md'])
  for (const path of reached) if (path.endsWith('.md')) for (const [file] of linksOf(path)) reached.add(file)
  for (const path of documents) t.ok(reached.has(path), path)
})
