import t from 'tap'
import { Unread } from '../../src/link/unread.ts'

function streams(...unread: number[]) {
  const cut: number[] = []
  const map = new Map(unread.map((bytes, i) => [i, { unread: bytes, abort: () => void cut.push(i) }]))
  return { map, cut }
}

t.test('those that hold most are cut until the rest fits', async t => {
  const { map, cut } = streams(10, 400, 0, 300, 350)
  new Unread(map, 400).arrived(400)
  t.same(cut, [1, 4])
})

t.test('what fits stays', async t => {
  const { map, cut } = streams(200, 200)
  new Unread(map, 400).arrived(400)
  t.same(cut, [])
})

t.test('nobody is looked at for every byte', async t => {
  const { map, cut } = streams(1000)
  const unread = new Unread(map, 400)
  unread.arrived(399)
  t.same(cut, [])
  unread.arrived(1)
  t.same(cut, [0])
})
