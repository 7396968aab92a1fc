import t from 'tap'
import { proxied, snippet } from './proxied.ts'

/** The settings in docs/reverse-proxies.md, in the real programs behind a real end: they see the client's address. */
const { world, folder, seen, write } = await proxied()
t.teardown(() => world.lab.close())

t.test('nginx', async t => {
  const conf = await write(
    'nginx.conf',
    `user root; daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log; events {}
http {
  access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
${snippet('nginx')}}
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
