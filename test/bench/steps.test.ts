import t from 'tap'
import { countSteps, type Step, stepNames } from '../../bench/steps.ts'

/** Samples in the kernel as `perf script -F ip,sym,dso` prints them: the innermost frame first, an empty chain elsewhere. */
const chains: Partial<Record<Step, string>> = {
  epoll: `
	ffffffff9a21 finish_task_switch.isra.0 ([kernel.kallsyms])
	ffffffff9a22 schedule ([kernel.kallsyms])
	ffffffff9a23 do_epoll_wait ([kernel.kallsyms])
	ffffffff9a24 __x64_sys_epoll_pwait ([kernel.kallsyms])

`,
  read: `
	ffffffff9a31 tcp_recvmsg_locked+0x41 ([kernel.kallsyms])
	ffffffff9a32 ksys_read ([kernel.kallsyms])
	ffffffff9a33 __x64_sys_read ([kernel.kallsyms])

`,
  write: `
	ffffffff9a41 tun_net_xmit ([kernel.kallsyms])
	ffffffff9a42 __x64_sys_writev ([kernel.kallsyms])

`,
  kernel: `
	ffffffff9a51 asm_sysvec_apic_timer_interrupt ([kernel.kallsyms])

`,
}
/** Samples of the program, with `--hide-call-graph`. */
const leaves: Partial<Record<Step, string>> = {
  native: '            1a01 node::SpinEventLoop(node::Environment*) (/opt/node/bin/node)\n',
  builtins: '            1b01 Builtins_KeyedLoadIC_Megamorphic (/opt/node/bin/node)\n',
  compiled: `        7f11cc01 [unknown] ([unknown])
        7f11cc02 JS:*onStreamRead node:internal/stream_base_commons:166:22 (/tmp/perf-123.map)
`,
  libc: '        7f00aa03 malloc (/usr/lib/x86_64-linux-gnu/libc.so.6)\n',
}
const inKernel = '    ffffffff9a51 asm_sysvec_apic_timer_interrupt ([kernel.kallsyms])\n'

for (const step of stepNames)
  t.test(step, async t => {
    // Each sample is in both: one in the kernel is a leaf as well, one of the program has an empty chain.
    const counts = countSteps(chains[step] ?? '\n\n', leaves[step] ?? inKernel)
    t.equal(counts[step], step === 'compiled' ? 2 : 1)
    for (const other of stepNames.filter(name => name !== step)) t.equal(counts[other], 0, other)
  })

t.test('a system call counts as what it is, not as what it does inside', async t => {
  // A write that goes through a veth pair is received within the same call, and wakes who waits there.
  const counts = countSteps(
    `
	ffffffff9a61 tcp_v4_rcv ([kernel.kallsyms])
	ffffffff9a62 __do_softirq ([kernel.kallsyms])
	ffffffff9a63 __x64_sys_sendto ([kernel.kallsyms])


	ffffffff9a64 ep_poll_callback ([kernel.kallsyms])
	ffffffff9a65 __x64_sys_write ([kernel.kallsyms])

`,
    '',
  )
  t.match(counts, { write: 2, epoll: 0, read: 0 })
})
