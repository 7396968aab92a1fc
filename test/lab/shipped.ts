import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import type { Result } from './execute.ts'

/**
 * Every path of the admin server and every command, with what a running end answers: asked of the bundle, of the image
 * and of a pod, so that nothing ships that was only ever tried from source.
 */

/** One end with a tunnel and a forward, ready, and how to ask it where it runs. */
export interface Place {
  /** The flags of `run` that say where its files are, `--config` first; wg0.conf lies beside that one. */
  readonly files: readonly string[]
  /** A folder that can be written. */
  readonly writable: string
  /** What starts the program there. */
  readonly program: readonly string[]
  /** Runs a command line beside it. */
  run(commandLine: readonly string[], stdin: string): Promise<Result>
  /** Asks its admin server as a client on its loopback. */
  ask(method: string, path: string): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly contentType: string | null
  readonly body: string
}

const [text, json] = ['text/plain; charset=utf-8', 'application/json; charset=utf-8']
const exposition = 'text/plain; version=0.0.4; charset=utf-8'

/** By method and path: status, content type, body. */
const answers: readonly (readonly [string, number, string, RegExp])[] = [
  ['GET /livez', 200, json, /^\{"status":"ready","reasons":\[\]\}\n$/],
  ['GET /startupz', 200, json, /^\{"status":"ready","reasons":\[\]\}\n$/],
  ['GET /readyz', 200, json, /^\{"status":"ready"/],
  ['GET /readyz?patience=1m', 200, json, /^\{"status":"ready"/],
  ['GET /metrics', 200, exposition, /^wg_punchhole_ready 1$/m],
  ['HEAD /metrics', 200, exposition, /^$/],
  ['GET /status.json', 200, json, /^\{.*"forwards":\[\{"name":/],
  ['GET /', 200, 'text/html; charset=utf-8', /^<!doctype html>.*<\/html>\s*$/is],
  ['GET /nothing', 404, text, /^Not found\. There is: /],
  ['POST /readyz', 405, text, /^This server is read-only: GET and HEAD\.\n$/],
]

const haproxyCfg = `listen web
  bind :8080
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  server web 192.0.2.1:80 send-proxy-v2
`
/** So long that it is judged in a thread of its own, which is a file of its own. */
const greatConfig = `forwards: { web: { listen: ":8081", target: "192.0.2.1:80" } }\n# ${'-'.repeat(40 * 1024)}\n`
const privateKey = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='

interface Command {
  readonly args: readonly string[]
  readonly stdin?: string
  /** Exit status; 0 when not given. */
  readonly code?: number
  /** Of stdout, or of stderr where the exit status is another than 0. */
  readonly says: RegExp
}

function commands({ files, writable }: Place): readonly Command[] {
  const pair = ['--endpoint', 'gateway.example', '--forward', '80', '--target', 'web.site.svc.cluster.local.']
  const wgConf = join(dirname(files[1]!), 'wg0.conf')
  return [
    { args: ['run', ...files], code: 1, says: /another wg-punchhole already runs interface/ },
    { args: ['check', ...files], says: /: valid\n$/ },
    {
      args: ['check', '--config', `${writable}/great.yaml`, '--wg-conf', wgConf],
      says: /great\.yaml: valid\n$/,
    },
    { args: ['init', `${writable}/pair-${Date.now()}`, ...pair], says: /pair-\d+/ },
    { args: ['import', `${writable}/haproxy.cfg`], says: /^forwards:\n +web:/m },
    { args: ['genkey'], says: /^[A-Za-z0-9+/]{43}=\n$/ },
    { args: ['genpsk'], says: /^[A-Za-z0-9+/]{43}=\n$/ },
    { args: ['pubkey'], stdin: `${privateKey}\n`, says: /^HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\n$/ },
    { args: ['health'], says: /^\{"status":"ready"/ },
    { args: ['health', '--live'], says: /^\{"status":"ready"/ },
    { args: ['status'], says: /^ready / },
    { args: ['status', '--json'], says: /^\{.*"forwards":\[\{"name":/ },
    { args: ['status', '--wait', '10s'], says: /^ready / },
    { args: ['doctor'], says: /^ok +config .* is valid$/m },
    { args: ['doctor', '--trace'], says: /^\w+ +hop 1: client → .*\n(.*\n)*\w+ +hop 2: /m },
    { args: ['version'], says: /^wg-punchhole \d.*\nwireguard-go v0\..*\nnode v\d+\..*\n$/ },
    { args: ['help'], says: /^Usage: wg-punchhole COMMAND\n/ },
    { args: [], code: 2, says: /^wg-punchhole: no command given/ },
  ]
}

/** Asks an admin server, by default where it listens by default. Sees nothing but its argument: it may run in an agent. */
export async function askAdmin(what: { method: string; path: string; url?: string }): Promise<Answer> {
  const { method, path, url = 'http://127.0.0.1:9586' } = what
  const response = await fetch(`${url}${path}`, { method })
  const contentType = response.headers.get('content-type')
  return { status: response.status, contentType, body: await response.text() }
}

/** Asks for all of it, and that this is all. */
export async function checkShipped(t: Test, place: Place): Promise<void> {
  await t.test('every path of the admin server', async t => {
    for (const [request, status, contentType, body] of answers) {
      const [method, path] = request.split(' ') as [string, string]
      t.match(await place.ask(method, path), { status, contentType, body }, request)
    }
    const [, paths = ''] = /There is: (.*)/.exec((await place.ask('GET', '/nothing')).body)!
    for (const path of paths.split(' '))
      t.ok(
        answers.some(([request]) => request === `GET ${path}`),
        path,
      )
  })

  await t.test('every command', async t => {
    const table = commands(place)
    const inputs = { 'haproxy.cfg': haproxyCfg, 'great.yaml': greatConfig }
    for (const [name, text] of Object.entries(inputs))
      await place.run(['sh', '-c', `cat >'${place.writable}/${name}'`], text)
    for (const { args, stdin = '', code = 0, says } of table) {
      const result = await place.run([...place.program, ...args], stdin)
      t.match(
        result,
        { code, [code === 0 ? 'stdout' : 'stderr']: says },
        `${args.join(' ')} ${result.stderr}`,
      )
    }
    const { stdout: usage } = await place.run([...place.program, 'help'], '')
    const named = Array.from(usage.matchAll(/^ {2}([a-z]+(?: \| [a-z]+)*)/gm), ([, names]) =>
      names!.split(' | '),
    )
    t.ok(named.flat().length > 10)
    for (const name of named.flat())
      t.ok(
        table.some(({ args }) => args[0] === name),
        name,
      )
  })
}
