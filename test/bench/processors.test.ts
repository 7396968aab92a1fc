import t from 'tap'
import { endsOf, processorMask } from '../../bench/processors.ts'

t.test('first and last of a list of processors', async t => {
  t.same(endsOf('0,1'), [0, 1])
  t.same(endsOf('2-5,8,10-12'), [2, 12])
  t.same(endsOf('3'), [3, 3])
})

t.test('a mask as sysfs takes it', async t => {
  t.equal(processorMask(0), '1')
  t.equal(processorMask(5), '20')
  t.equal(processorMask(31), '80000000')
  t.equal(processorMask(32), '1,00000000')
  t.equal(processorMask(67), '8,00000000,00000000')
})
