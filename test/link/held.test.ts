import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { Held } from '../../src/link/held.ts'
import { Pieces, pieceSize, pieces } from '../../src/link/pieces.ts'

t.test('whatever is kept comes out again, in order, and costs about its length', async t => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ keep: fc.integer({ min: 0, max: 5000 }) }) },
    { weight: 2, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 6000 }), behind: fc.boolean() }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const held = new Held()
      let expected = Buffer.alloc(0)
      for (const step of steps) {
        if ('keep' in step) {
          const part = randomBytes(step.keep)
          held.keep(part)
          expected = Buffer.concat([expected, part])
        } else {
          const first = step.behind ? Buffer.from('first') : undefined
          const want = expected.subarray(0, step.take)
          const got = held.take(first, step.take) ?? Buffer.alloc(0)
          if (!got.equals(Buffer.concat(first === undefined ? [want] : [first, want])))
            throw new Error('other bytes')
          expected = expected.subarray(want.length)
        }
        if (held.length !== expected.length) throw new Error('another length')
        if (!(held.look() ?? Buffer.alloc(0)).equals(expected)) throw new Error('other bytes are seen')
        if (held.cost >= held.length + 2 * pieceSize)
          throw new Error(`${held.length} bytes cost ${held.cost}`)
      }
      held.clear()
      return held.take() === undefined
    }),
  )
  t.equal(pieces.used, 0, 'all memory was given back')
})

t.test('what was given back is used again, and an arena that was in much use is not kept', async t => {
  const own = new Pieces()
  const all = Array.from({ length: 40_000 }, () => own.take())
  t.equal(new Set(all).size, 40_000, 'each has its own')
  const mark = (piece: number) => Buffer.from(String(piece).padStart(8))
  for (const piece of all) own.write(piece, 8, mark(piece), 0)
  const read = Buffer.alloc(8)
  const wrong = all.filter(piece => {
    own.read(piece, 8, 8, read, 0)
    return !read.equals(mark(piece))
  })
  t.same(wrong, [])
  const before = process.memoryUsage.rss()
  for (const piece of all) own.giveBack(piece)
  t.equal(own.used, 0)
  t.ok(before - process.memoryUsage.rss() > 20 << 20, 'its memory is the system’s again at once')
  t.equal(own.take(), 0)
})
