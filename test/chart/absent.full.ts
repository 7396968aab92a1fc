import t from 'tap'
import { defaults, everything, renderWith } from './absent.ts'
import { skip } from './helm.ts'

function paths(value: unknown, above: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  return Object.entries(value).flatMap(([key, child]) => [[...above, key], ...paths(child, [...above, key])])
}

function without(values: Record<string, unknown>, [key, ...rest]: readonly string[]): object {
  const { [key!]: value, ...others } = values
  return rest.length === 0 ? others : { ...others, [key!]: without(value as Record<string, unknown>, rest) }
}

t.test('a key that a version added may be missing', { skip, jobs: 2 }, async t => {
  const all = await renderWith(t, defaults, everything)
  t.equal(all.status, 0, all.stderr)
  const keys = paths(defaults)
  t.ok(keys.length > 50)
  for (const path of keys) {
    const name = path.join('.')
    t.test(name, async t => {
      const { status, stdout, stderr } = await renderWith(t, without(defaults, path), everything)
      t.equal(status, 0, stderr)
      if (path[0] !== 'resources') t.equal(stdout, all.stdout)
    })
  }
})
