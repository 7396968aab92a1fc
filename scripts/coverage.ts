/**
 * Which lines of src/ ran, from what V8 recorded: of the sources themselves, which most tests load, and of the built
 * program in dist/, through its source maps. A line counts when code begins on it, imports aside, for the bundle has none;
 * it is covered when any of that code ran in any process.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { transform } from 'esbuild'

const root = join(import.meta.dirname, '..')

/** Where code begins: an offset in the text that V8 ran, and the line of src/ that it was written on, from 0. */
interface Point {
  readonly offset: number
  readonly path: string
  readonly line: number
}

/** What the inspector gives of one script: Profiler.ScriptCoverage. */
interface Script {
  readonly url: string
  readonly functions: readonly { readonly ranges: readonly Range[] }[]
}
interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}

export interface FileCoverage {
  readonly path: string
  readonly total: number
  readonly covered: number
}

/** Of each file that V8 may have run, by its URL; found once. */
let points: Promise<ReadonlyMap<string, readonly Point[]>> | undefined

/** Reads all that V8 recorded in these folders; gives each file of src/ that has code. */
export async function readCoverage(folders: readonly string[]): Promise<FileCoverage[]> {
  points ??= findPoints()
  const known = await points
  const files = Array.from(sources(), path => {
    const lines = new Set(known.get(urlOf(path))!.map(({ line }) => line))
    return { path, total: lines.size, missed: lines }
  })
  const missed = new Map(files.map(({ path, missed }) => [path, missed]))
  for (const file of folders.flatMap(folder => globSync(join(folder, '*.json'))))
    for (const { url, functions } of scriptsIn(file)) {
      const ranges = functions.flatMap(({ ranges }) => ranges)
      for (const { path, line } of ran(known.get(url) ?? [], ranges)) missed.get(path)?.delete(line)
    }
  return files
    .filter(({ total }) => total > 0)
    .map(({ path, total, missed }) => ({ path, total, covered: total - missed.size }))
}

async function findPoints(): Promise<Map<string, readonly Point[]>> {
  const found = new Map<string, readonly Point[]>()
  for (const path of sources()) found.set(urlOf(path), await pointsOfSource(path))
  for (const path of globSync('dist/*.js', { cwd: root })) found.set(urlOf(path), pointsOfBundle(path))
  return found
}

function sources(): string[] {
  return globSync('src/**/*.ts', { cwd: root }).sort()
}

function urlOf(path: string): string {
  return pathToFileURL(join(root, path)).href
}

function scriptsIn(file: string): Script[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).result
  } catch (error) {
    // Of a process that was killed while it wrote: what it ran is not covered.
    if (error instanceof SyntaxError) return []
    throw error
  }
}

/** Node only blanks the types out, so that each offset in what it ran is that in the file. */
async function pointsOfSource(path: string): Promise<Point[]> {
  const text = readFileSync(join(root, path), 'utf8')
  const { map } = await transform(text, { loader: 'ts', sourcemap: 'external', sourcesContent: false })
  const starts = lineStarts(text)
  const imports = Array.from(
    text.matchAll(/^(?:import|export (?:type )?(?:\*|\{[^}]*\}) from)\b[^']*'[^']*'/gm),
    ({ index, 0: statement }) => [index, index + statement.length] as const,
  )
  return segments(JSON.parse(map).mappings)
    .map(({ line, column }) => {
      const offset = starts[line]! + column
      // What is exported begins behind that word, for V8 and in the bundle.
      return { offset: text.startsWith('export ', offset) ? offset + 'export '.length : offset, path, line }
    })
    .filter(({ offset }) => !imports.some(([from, to]) => offset >= from && offset < to))
    .sort((a, b) => a.offset - b.offset)
}

function pointsOfBundle(path: string): Point[] {
  const starts = lineStarts(readFileSync(join(root, path), 'utf8'))
  const { mappings, sources } = JSON.parse(readFileSync(join(root, `${path}.map`), 'utf8'))
  return segments(mappings).flatMap(({ generatedLine, generatedColumn, source, line }) => {
    const from: string = sources[source].replace(/^\.\.\//, '')
    return from.startsWith('src/')
      ? { offset: starts[generatedLine]! + generatedColumn, path: from, line }
      : []
  })
}

/** The points, in the order of their offsets, at which the innermost range was entered. */
function* ran(points: readonly Point[], ranges: readonly Range[]): Generator<Point> {
  if (points.length === 0) return
  const ordered = ranges.toSorted((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset)
  const open: Range[] = []
  let next = 0
  for (const point of points) {
    for (; next < ordered.length && ordered[next]!.startOffset <= point.offset; next++) {
      while (open.length > 0 && open.at(-1)!.endOffset <= ordered[next]!.startOffset) open.pop()
      open.push(ordered[next]!)
    }
    while (open.length > 0 && open.at(-1)!.endOffset <= point.offset) open.pop()
    if ((open.at(-1)?.count ?? 0) > 0) yield point
  }
}

interface Segment {
  readonly generatedLine: number
  readonly generatedColumn: number
  readonly source: number
  readonly line: number
  readonly column: number
}

/** The `mappings` of a source map (ECMA-426, section 9): differences to the segment before in base 64, five bits a digit. */
function segments(mappings: string): Segment[] {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  let [source, line, column] = [0, 0, 0]
  return mappings.split(';').flatMap((text, generatedLine) => {
    let generatedColumn = 0
    return text.split(',').flatMap(segment => {
      const fields: number[] = []
      let value = 0
      let shift = 0
      for (const letter of segment) {
        const digit = digits.indexOf(letter)
        value += (digit & 31) << shift
        shift += 5
        if (digit >= 32) continue
        fields.push(value & 1 ? -(value >> 1) : value >> 1)
        value = shift = 0
      }
      const [columns = 0, sources, lines = 0, originals = 0] = fields
      generatedColumn += columns
      if (sources === undefined) return []
      source += sources
      line += lines
      column += originals
      return { generatedLine, generatedColumn, source, line, column }
    })
  })
}

function lineStarts(text: string): number[] {
  return [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)]
}
