import fc from 'fast-check'
import t from 'tap'
import { FrameReader, frame, frameHeader, LinkError, maxData } from '../../src/link/frame.ts'

interface Frame {
  readonly stream: number
  readonly type: number
  readonly payload: Buffer
}

function encode({ stream, type, payload }: Frame): Buffer {
  const header = Buffer.alloc(frameHeader)
  header.writeUInt32BE(stream)
  header[4] = type
  header.writeUIntBE(payload.length, 5, 3)
  return Buffer.concat([header, payload])
}

/** What a reader makes of chunks: the data of a frame in one piece again. */
function decode(chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = []
  let data: Frame | undefined
  const reader = new FrameReader({
    part(stream, part) {
      const last = data?.stream === stream ? data.payload : Buffer.alloc(0)
      data = { stream, type: frame.data, payload: Buffer.concat([last, part]) }
    },
    control(stream, type, payload) {
      flush()
      frames.push({ stream, type, payload: Buffer.from(payload) })
    },
  })
  const flush = () => {
    if (data !== undefined) frames.push(data)
    data = undefined
  }
  for (const chunk of chunks) {
    // The reader may keep nothing of a chunk: it is overwritten by the next read.
    const copy = Buffer.from(chunk)
    reader.read(copy)
    copy.fill(0xaa)
  }
  flush()
  return frames
}

const sample: Frame[] = [
  { stream: 1, type: frame.open, payload: Buffer.from('\0\x50header') },
  { stream: 1, type: frame.data, payload: Buffer.from('hello') },
  { stream: 0xffffffff, type: frame.credit, payload: Buffer.from([0, 1, 0, 0]) },
  { stream: 2, type: frame.end, payload: Buffer.alloc(0) },
  { stream: 0, type: frame.ping, payload: Buffer.alloc(0) },
  { stream: 3, type: frame.reset, payload: Buffer.from('\x05why') },
]

t.test('split at every byte, and at every two', async t => {
  const bytes = Buffer.concat(sample.map(encode))
  for (let i = 0; i <= bytes.length; i++)
    for (const j of [i, Math.min(i + 1, bytes.length), bytes.length])
      t.same(decode([bytes.subarray(0, i), bytes.subarray(i, j), bytes.subarray(j)]), sample)
  t.same(decode(Array.from(bytes, byte => Buffer.from([byte]))), sample, 'byte by byte')
})

t.test('any frames, cut anywhere', async t => {
  const control = fc.record({
    stream: fc.nat(0xffffffff),
    type: fc.integer({ min: 1, max: 10 }),
    payload: fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)),
  })
  const data = fc.record({
    stream: fc.nat(0xffffffff),
    type: fc.constant(frame.data),
    payload: fc.uint8Array({ minLength: 1, maxLength: 3000 }).map(bytes => Buffer.from(bytes)),
  })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(control, data), { maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 900 })),
      (pairs, sizes) => {
        const frames = pairs.flat()
        const bytes = Buffer.concat(frames.map(encode))
        const chunks: Buffer[] = []
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value as number
          chunks.push(bytes.subarray(at, at + size))
          at += size
        }
        t.same(decode(chunks), frames)
      },
    ),
    { numRuns: 60 },
  )
})

t.test('the largest data frame is taken, one byte more is not', async t => {
  const largest = { stream: 1, type: frame.data, payload: Buffer.alloc(maxData, 7) }
  t.same(decode([encode(largest)]), [largest])
  t.throws(() => decode([encode({ ...largest, payload: Buffer.alloc(maxData + 1) })]), LinkError)
  t.throws(() => decode([encode({ ...largest, type: frame.open, payload: Buffer.alloc(8193) })]), LinkError)
})
