import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { chart, helm, minimal, render, root, skip } from './helm.ts'

/** What a person does with the chart: reads its notes, runs what they say, and `helm test`. */

const sh = promisify(execFile)

t.test('the notes', { skip }, async t => {
  // `helm template` leaves them out, and `helm install` wants a cluster even for a dry run.
  const copy = t.testdir()
  cpSync(chart, copy, { recursive: true })
  cpSync(`${copy}/templates/NOTES.txt`, `${copy}/NOTES.txt`)
  writeFileSync(`${copy}/templates/notes.yaml`, 'notes: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n')
  const { stdout } = await helm(
    ...['template', 'home', copy, '--namespace', 'edge', '--show-only', 'templates/notes.yaml'],
    ...['--values', `${root}test/chart/values/valid/minimal.yaml`],
  )
  const notes: string = parse(stdout).notes.trimEnd()
  t.ok(notes.split('\n').length <= 25, notes)
  t.match(notes, 'kubectl label namespace edge --overwrite pod-security.kubernetes.io/enforce=privileged')
  t.match(notes, 'kubectl -n edge port-forward deploy/home-wg-punchhole 9586')
  t.match(notes, 'helm -n edge test home')
  t.match(notes, 'kubectl -n edge exec deploy/home-wg-punchhole -- wg-punchhole status')

  t.test('have a command that prints the peer for the gateway', async t => {
    const [command] = /kubectl -n edge exec \S+ -- sh -c '[^']+'/.exec(notes)!
    const folder = t.testdir({
      'wg0.conf': [
        '[Interface]',
        '  address=10.1.10.2/24, 2001:db8::2/64',
        'Address = 10.1.10.3',
        'PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=',
        '[Peer]',
        'PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=',
      ].join('\n'),
      bin: {
        kubectl: '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n',
        'wg-punchhole': `#!/bin/sh\nexec '${process.execPath}' '${root}src/main.ts' "$@"\n`,
      },
    })
    for (const name of ['kubectl', 'wg-punchhole']) chmodSync(`${folder}/bin/${name}`, 0o755)
    writeFileSync(`${folder}/command`, command.replace('/etc/wg-punchhole', folder))
    const env = { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` }
    const { stdout } = await sh('sh', [`${folder}/command`], { env })
    t.equal(
      stdout,
      [
        '[Peer]',
        'PublicKey = HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=',
        'AllowedIPs = 10.1.10.2, 2001:db8::2,10.1.10.3',
        '',
      ].join('\n'),
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

  /** Runs the pod's command against another URL; `prelude` goes before its script. */
  const run = async (url: string, prelude = '') => {
    const [, flag, evaluate, script] = command
    try {
      const { stdout } = await sh(process.execPath, [flag, evaluate, `${prelude}\n${script}`, url])
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
