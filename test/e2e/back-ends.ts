import { readFileSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Host, Lab, Running } from '../lab/lab.ts'

/**
 * Back ends that take a PROXY header, each as its own documentation says, on 127.0.0.1 of one host: with the header required
 * on one port, and without it on the next one. Those that the machine has not are unpacked by scripts/back-ends.sh.
 */
export interface BackEnd {
  /** As the table of docs/reverse-proxies.md has it. */
  readonly name: string
  readonly speaks: 'http' | 'tls' | 'smtp' | 'imap' | 'mysql' | 'text'
  /** Where a header is required; on the port behind it the same program takes none, if `hasPlain`. */
  readonly port: number
  readonly hasPlain: boolean
}

export const backEnds: readonly BackEnd[] = [
  { name: 'nginx, stream', speaks: 'text', port: 7000, hasPlain: false },
  { name: 'nginx, http with `ssl`', speaks: 'tls', port: 7010, hasPlain: true },
  { name: 'nginx, http without `ssl`', speaks: 'http', port: 7020, hasPlain: true },
  { name: 'Apache mod_remoteip', speaks: 'http', port: 7030, hasPlain: true },
  { name: 'Exim (heavy)', speaks: 'smtp', port: 7040, hasPlain: true },
  { name: 'lighttpd', speaks: 'http', port: 7050, hasPlain: true },
  { name: 'MariaDB', speaks: 'mysql', port: 7060, hasPlain: true },
  { name: 'Varnish', speaks: 'http', port: 7070, hasPlain: true },
  { name: 'Postfix', speaks: 'smtp', port: 7080, hasPlain: true },
  { name: 'Dovecot', speaks: 'imap', port: 7090, hasPlain: true },
  { name: 'Caddy', speaks: 'http', port: 7100, hasPlain: true },
  { name: 'HAProxy', speaks: 'http', port: 7110, hasPlain: true },
]

const { BACK_ENDS, GO_TOOLS, XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env
const unpacked = BACK_ENDS ?? join(XDG_CACHE_HOME, 'wg-punchhole/back-ends')
const caddy = join(GO_TOOLS ?? join(XDG_CACHE_HOME, 'wg-punchhole/bin'), 'caddy')

/** Those that the packages make when they are installed. */
const users = ['Debian-exim', 'postfix', 'dovecot', 'dovenull', 'mysql']

/** Starts all of them. The lab is the caller's to close. */
export async function startBackEnds(lab: Lab, host: Host): Promise<void> {
  const folder = join(lab.folder, 'back-ends')
  await mkdir(folder)
  await chmod(lab.folder, 0o755)
  const file = async (name: string, text: string) => {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), text)
    return join(folder, name)
  }
  const ids = users.map(
    (user, index) => `${user}:x:${61_000 + index}:${61_000 + index}::/nonexistent:/bin/false\n`,
  )
  await file('passwd', readFileSync('/etc/passwd', 'utf8') + ids.join(''))
  const groups = [...users, 'postdrop'].map((group, index) => `${group}:x:${61_000 + index}:\n`)
  await file('group', readFileSync('/etc/group', 'utf8') + groups.join(''))

  /** In a mount namespace of its own (`ip netns exec` makes one), with what was unpacked laid over the machine's /usr. */
  const start = (command: string): Running =>
    host.start('sh', [
      '-c',
      `set -e; cd ${folder}
      mount -t overlay overlay -o lowerdir=${unpacked}/usr:/usr /usr
      mount --bind passwd /etc/passwd; mount --bind group /etc/group
      ${command}`,
    ])

  await mkdir(join(folder, 'tmp'))
  const key = `-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${folder}/key.pem -out ${folder}/cert.pem`
  await host.exec('sh', '-c', `openssl req -x509 -subj /CN=x -days 1 ${key} 2>&1`)

  const nginx = (port: number, more: string) =>
    `server { listen 127.0.0.1:${port} ${more}; location / { return 200 "from $remote_addr\\n"; } }`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    kind => `${kind}_temp_path ${folder}/tmp;`,
  )
  await file(
    'nginx.conf',
    `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root; daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log; events {}
stream { server { listen 127.0.0.1:7000 proxy_protocol; return "from $proxy_protocol_addr\\n"; } }
http {
  access_log off; ${temporary.join(' ')}
  ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
  set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;
  ${nginx(7010, 'ssl proxy_protocol')} ${nginx(7011, 'ssl')}
  ${nginx(7020, 'proxy_protocol')} ${nginx(7021, '')}
}
`,
  )
  start(`exec nginx -c ${folder}/nginx.conf`)

  await file(
    'apache/apache.conf',
    `ServerRoot /usr/lib/apache2
ServerName x
PidFile ${folder}/apache/pid
ErrorLog ${folder}/apache/log
Mutex file:${folder}/apache
User www-data
Group www-data
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule remoteip_module modules/mod_remoteip.so
LoadModule authz_core_module modules/mod_authz_core.so
Listen 127.0.0.1:7030
Listen 127.0.0.1:7031
ErrorDocument 404 "from %{REMOTE_ADDR}"
DocumentRoot ${folder}/apache
<VirtualHost 127.0.0.1:7030>
RemoteIPProxyProtocol On
</VirtualHost>
<VirtualHost 127.0.0.1:7031>
</VirtualHost>
`,
  )
  start(`exec apache2 -f ${folder}/apache/apache.conf -DFOREGROUND`)

  await file(
    'exim/exim.conf',
    `primary_hostname = mail.example.com
spool_directory = ${folder}/exim/spool
log_file_path = ${folder}/exim/%s
pid_file_path = ${folder}/exim/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = 7040 : 7041
hosts_proxy = \${if eq{$received_port}{7040}{*}{}}
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
`,
  )
  start(`chown Debian-exim exim; exec exim4 -C ${folder}/exim/exim.conf -bdf -q1h`)

  const lighttpd = (port: number, takes: string) => `server.modules = ("mod_extforward", "mod_access")
server.document-root = "${folder}/lighttpd"
index-file.names = ("index.html")
server.bind = "127.0.0.1"
server.port = ${port}
extforward.hap-PROXY = "${takes}"
extforward.forwarder = ("all" => "trust")
`
  await file('lighttpd/index.html', 'from lighttpd\n')
  await file('lighttpd/with.conf', lighttpd(7050, 'enable'))
  await file('lighttpd/without.conf', lighttpd(7051, 'disable'))
  for (const name of ['with', 'without']) start(`exec lighttpd -D -f ${folder}/lighttpd/${name}.conf`)

  await mkdir(join(folder, 'mariadb'))
  // Without accounts it does without its system tables.
  const mariadb = (port: number, networks: string) =>
    start(`data=${folder}/mariadb/${port}
      mkdir $data; chown -R mysql mariadb
      exec mariadbd --no-defaults --user=mysql --datadir=$data --bind-address=127.0.0.1 --port=${port} \\
        --socket=$data.socket --pid-file=$data.pid --innodb-log-file-size=8M --skip-name-resolve --skip-grant-tables ${networks}`)
  mariadb(7060, '--proxy-protocol-networks=127.0.0.0/8')
  mariadb(7061, '')

  await file(
    'varnish/varnish.vcl',
    `vcl 4.1;
backend default none;
sub vcl_recv { return(synth(200, "from " + client.ip)); }
`,
  )
  start(
    `exec varnishd -F -j none -n ${folder}/varnish/n -a 127.0.0.1:7070,PROXY -a 127.0.0.1:7071 -f ${folder}/varnish/varnish.vcl -s malloc,10m`,
  )

  await file(
    'postfix/conf/main.cf',
    `compatibility_level = 3.6
queue_directory = ${folder}/postfix/queue
data_directory = ${folder}/postfix/data
meta_directory = ${folder}/postfix/conf
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
inet_interfaces = 127.0.0.1
myhostname = mail.example.com
mydestination =
maillog_file = ${folder}/postfix/log
maillog_file_prefixes = ${folder}
`,
  )
  await file(
    'postfix/conf/master.cf',
    `127.0.0.1:7080 inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
127.0.0.1:7081 inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
`,
  )
  start(`cd postfix; mkdir data queue; chown postfix data
    for each in active bounce corrupt defer deferred flush hold incoming private saved trace maildrop public pid; do mkdir queue/$each; done
    chown postfix queue/*; chown root queue/pid; chgrp postdrop queue/maildrop queue/public
    exec /usr/lib/postfix/sbin/master -c ${folder}/postfix/conf -d`)

  await file(
    'dovecot/dovecot.conf',
    `base_dir = ${folder}/dovecot/base
state_dir = ${folder}/dovecot/state
log_path = ${folder}/dovecot/log
ssl = no
disable_plaintext_auth = no
protocols = imap
haproxy_trusted_networks = 127.0.0.0/8
service stats {
  chroot =
}
service anvil {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    address = 127.0.0.1
    port = 7090
    haproxy = yes
  }
  inet_listener plain {
    address = 127.0.0.1
    port = 7091
  }
  inet_listener imaps {
    port = 0
  }
}
passdb {
  driver = static
  args = password=x
}
`,
  )
  start(`exec dovecot -F -c ${folder}/dovecot/dovecot.conf`)

  const site = (port: number, options: string) =>
    `{\n  admin off\n${options}}\nhttp://:${port} {\n  bind 127.0.0.1\n  respond "from {remote_host}"\n}\n`
  const wrapper = (allowed: string) =>
    `  servers {\n    listener_wrappers {\n      proxy_protocol {\n        allow ${allowed}\n      }\n    }\n  }\n`
  await file('caddy/with', site(7100, wrapper('127.0.0.0/8')))
  await file('caddy/without', site(7101, ''))
  await file('caddy/elsewhere', site(7102, wrapper('192.0.2.0/24')))
  const env = { HOME: join(folder, 'caddy'), XDG_DATA_HOME: join(folder, 'caddy') }
  for (const name of ['with', 'without', 'elsewhere'])
    host.start(caddy, ['run', '--adapter', 'caddyfile', '--config', join(folder, 'caddy', name)], { env })

  await file(
    'haproxy.cfg',
    `defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend with
  bind 127.0.0.1:7110 accept-proxy
  http-request return status 200 content-type text/plain lf-string "from %[src]\\n"
frontend without
  bind 127.0.0.1:7111
  http-request return status 200 content-type text/plain lf-string "from %[src]\\n"
`,
  )
  host.start('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')])
}
