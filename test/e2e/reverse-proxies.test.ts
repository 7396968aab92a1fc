import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { snippet } from './snippet.ts'
import { ready, retry, startOurs, topology } from './topology.ts'

/** The settings in docs/reverse-proxies.md, in the real programs behind a real end: they see the client's address. */

const world = await topology()
t.teardown(() => world.lab.close())
const gateway = await startOurs(
  world,
  'gateway',
  'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }\n',
)
const cluster = await startOurs(
  world,
  'cluster',
  'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }\n',
)
await ready(gateway, cluster)

async function write(name: string, text: string): Promise<string> {
  await mkdir(join(world.lab.folder, 'proxies'), { recursive: true })
  const path = join(world.lab.folder, 'proxies', name)
  await writeFile(path, text)
  return path
}

const seen = () =>
  retry(() => world.client.exec('curl', '--silent', '--fail', '--max-time', '2', 'http://203.0.113.1/'))

t.test('nginx', async t => {
  const folder = join(world.lab.folder, 'proxies')
  // The cluster end is on this host, not in the pod network of the page.
  const server = snippet('nginx').replace('10.42.0.0/16', '127.0.0.0/8')
  const conf = await write(
    'nginx.conf',
    `user root; daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log; events {}
http {
  access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
${server}}
`,
  )
  const nginx = world.cluster.start('nginx', ['-c', conf])
  t.equal(await seen(), '203.0.113.7\n')
  await nginx.stop()
})

t.test('HAProxy', async t => {
  const cfg = await write(
    'haproxy.cfg',
    `defaults\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n${snippet('haproxy')}`,
  )
  const haproxy = world.cluster.start('haproxy', ['-db', '-f', cfg])
  t.equal(await seen(), '203.0.113.7\n')
  await haproxy.stop()
})
