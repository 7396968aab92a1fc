import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { retry, type Topology } from './topology.ts'

/**
 * TLS servers behind the cluster end, all of which want the PROXY protocol; each answers with its own name, the server
 * name it was asked for, the client's address, and HAProxy with AUTHORITY:
 *
 *   nginx 127.0.0.1:8441 "one"   nginx 127.0.0.1:8442 "two"   HAProxy 127.0.0.1:8443 "haproxy"
 */
export async function startTlsServers(world: Topology): Promise<void> {
  const folder = join(world.lab.folder, 'tls')
  await mkdir(folder, { recursive: true })
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=example.com', '-days', '1', '-nodes']
  const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', key, '-out', cert]
  await world.cluster.exec('openssl', 'req', '-x509', ...pair, ...subject)
  const server = (port: number, name: string) => `server {
    listen 127.0.0.1:${port} ssl proxy_protocol; ssl_certificate ${cert}; ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / { return 200 "${name} $ssl_server_name $proxy_protocol_addr\\n"; }
  }`
  await writeFile(
    join(folder, 'nginx.conf'),
    `user root; daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  ${server(8441, 'one')}
  ${server(8442, 'two')}
}
`,
  )
  await world.cluster.exec('sh', '-c', `cat ${cert} ${key} > ${folder}/both.pem`)
  await writeFile(
    join(folder, 'haproxy.cfg'),
    `defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend haproxy
  bind 127.0.0.1:8443 accept-proxy ssl crt ${folder}/both.pem
  http-request return status 200 content-type text/plain lf-string "haproxy %[ssl_fc_sni] %[src] authority=%[fc_pp_authority]\\n"
`,
  )
  world.cluster.start('nginx', ['-c', join(folder, 'nginx.conf')])
  world.cluster.start('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')])
  for (const port of [8441, 8442, 8443])
    await retry(() => world.cluster.exec('bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`))
}
