import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { shellCommand } from '../lab/built.ts'
import { chart, helm, minimal, render, root, skip } from './helm.ts'

/** What a person does with the chart: reads its notes, runs what they say, and `helm test`. */

const sh = promisify(execFile)

/** What `helm install` prints. `helm template` leaves it out, and `helm install` wants a cluster even for a dry run. */
async function notesOf(t: Test, values: string): Promise<string> {
  const copy = t.testdir()
  cpSync(chart, copy, { recursive: true })
  cpSync(`${copy}/templates/NOTES.txt`, `${copy}/NOTES.txt`)
  writeFileSync(`${copy}/templates/notes.yaml`, 'notes: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n')
  const { stdout } = await helm(
    ...['template', 'home', copy, '--namespace', 'edge', '--show-only', 'templates/notes.yaml'],
    ...['--values', `${root}test/chart/values/valid/${values}`],
  )
  return parse(stdout).notes.trimEnd()
}

/** Runs a command of the notes; kubectl runs what it is given in this folder, POD_INDEX the end of the pod's name. */
async function asInPod(t: Test, command: string, files: Record<string, string>): Promise<string> {
  const folder = t.testdir({
    ...files,
    bin: {
      kubectl:
        '#!/bin/sh\nexport POD_INDEX="$(echo "$4" | sed "s/.*-//")"\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n',
      'wg-punchhole': `#!/bin/sh\nexec ${shellCommand()} "$@"\n`,
    },
  })
  for (const name of ['kubectl', 'wg-punchhole']) chmodSync(`${folder}/bin/${name}`, 0o755)
  writeFileSync(`${folder}/command`, command.replace('/etc/wg-punchhole', folder))
  const env = { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` }
  return (await sh('sh', [`${folder}/command`], { env })).stdout
}

const key = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='
const publicKey = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw='

t.test('the notes', { skip }, async t => {
  const notes = await notesOf(t, 'minimal.yaml')
  t.ok(notes.split('\n').length <= 25, notes)
  t.match(notes, 'kubectl label namespace edge --overwrite pod-security.kubernetes.io/enforce=privileged')
  t.match(notes, 'kubectl -n edge port-forward deploy/home-wg-punchhole 9586')
  t.match(notes, 'helm -n edge test home')
  t.match(notes, 'kubectl -n edge exec deploy/home-wg-punchhole -- wg-punchhole status')
  t.match(notes, 'is an outage of up to 30s')

  t.test('have a command that prints the peer for the gateway', async t => {
    const [command] = /kubectl -n edge exec \S+ -- sh -c '[^']+'/.exec(notes)!
    const wgConf = [
      '[Interface]',
      '  address=10.1.10.2/24, 2001:db8::2/64',
      'Address = 10.1.10.3/255.255.255.0 10.1.10.4, # more',
      `PrivateKey = ${key}`,
      '[Peer]',
      'PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=',
    ].join('\n')
    t.equal(
      await asInPod(t, command, { 'wg0.conf': wgConf }),
      `[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = 10.1.10.2, 2001:db8::2,10.1.10.3, 10.1.10.4\n`,
    )
  })
})

t.test('the notes of several replicas', { skip }, async t => {
  const notes = await notesOf(t, 'replicas.yaml')
  t.ok(notes.split('\n').length <= 25, notes)
  t.match(notes, 'in 3 pods with a key each')
  t.match(notes, 'kubectl -n edge exec sts/home-wg-punchhole -- wg-punchhole status')
  t.match(notes, 'kubectl -n edge port-forward sts/home-wg-punchhole 9586')
  t.notMatch(notes, 'outage')

  t.test('have a command that prints the peers for the gateway', async t => {
    const [command] = /for i in 0 1 2; do kubectl -n edge exec \S+ -- sh -c '[^']+'; done/.exec(notes)!
    const files = [0, 1, 2].map(i => [
      `home-${i}.conf`,
      `[Interface]\nAddress = 10.1.10.${2 + i}\nPrivateKey = ${key}\n`,
    ])
    t.equal(
      await asInPod(t, command, Object.fromEntries(files)),
      [2, 3, 4].map(i => `[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = 10.1.10.${i}\n`).join(''),
    )
  })
})

t.test('helm test', { skip }, async t => {
  const { metadata, spec } = (await render(minimal)).get('Pod/home-wg-punchhole-test')
  const [{ command, ...container }] = spec.containers

  t.test('leaves nothing behind, has no rights and passes the restricted level', async t => {
    t.same(metadata.annotations, {
      'helm.sh/hook': 'test',
      'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
    })
    t.equal(spec.automountServiceAccountToken, false)
    t.equal(spec.restartPolicy, 'Never')
    t.match(spec.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    t.same(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    t.notOk(spec.volumes)
    t.equal(command.at(-1), 'http://home-wg-punchhole-admin.edge.svc:9586/readyz')
  })

  /** Runs the pod's command against other URLs; `prelude` goes before its script. */
  const run = async (urls: string | string[], prelude = '') => {
    const [, flag, evaluate, script] = command
    try {
      const { stdout } = await sh(process.execPath, [
        flag,
        evaluate,
        `${prelude}\n${script}`,
        ...[urls].flat(),
      ])
      return { status: 0, stdout }
    } catch (error) {
      const { code, stdout } = error as { code: number; stdout: string }
      return { status: code, stdout }
    }
  }
  const listening = async (server: Server) => {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`
  }
  const serve = async (...answers: [status: number, body: string][]) => {
    const server = createServer((_, response) => {
      const [status, body] = answers.length > 1 ? answers.shift()! : answers[0]!
      response.writeHead(status).end(body)
    })
    t.teardown(() => server.close())
    return listening(server)
  }

  t.test('waits until the end is ready', async t => {
    const url = await serve([503, 'no-handshake'], [503, 'no-handshake'], [200, 'ready'])
    t.same(await run(url), { status: 0, stdout: '503 no-handshake\n200 ready\n' })
  })

  t.test('waits until each of several is, and names them', async t => {
    const first = await serve([503, 'no-handshake'], [200, 'ready'])
    const second = (await serve([200, 'degraded'])).replace('127.0.0.1', 'localhost')
    const { status, stdout } = await run([first, second])
    t.equal(status, 0)
    t.same(stdout.split('\n').sort(), ['', '127 200 ready', '127 503 no-handshake', 'localhost 200 degraded'])
  })

  t.test('one of several that does not become ready is a failure', async t => {
    const clock = 'let now = 0; Date.now = () => (now += 25_000)'
    for (const answers of [
      [200, 503],
      [503, 200],
    ] as const)
      t.equal((await run(await Promise.all(answers.map(code => serve([code, '']))), clock)).status, 1)
  })

  t.test('gives up after a minute and says what it heard', async t => {
    const clock = 'let now = 0; Date.now = () => (now += 25_000)'
    t.same(await run(await serve([503, 'no-handshake']), clock), { status: 1, stdout: '503 no-handshake\n' })
    const server = createServer()
    const closed = await listening(server)
    await once(server.close(), 'close')
    const { status, stdout } = await run(closed, clock)
    t.equal(status, 1)
    t.match(stdout, 'ECONNREFUSED')
  })
})
