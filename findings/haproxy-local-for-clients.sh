#!/bin/bash
# HAProxy tells a client that it relays as LOCAL, where it came over a UNIX socket.
#
# Guessed: in its header of version 2 such a client is PROXY with the family UNSPEC, or AF_UNIX. The PROXY protocol's
# specification, section 2.2, keeps LOCAL for a connection that "was established on purpose by the proxy without being
# relayed", and names health checks.
# Seen: HAProxy 2.6.12 (Debian 12) sends LOCAL, and the client's bytes behind it; in version 1 it is UNKNOWN.
# It matters to whoever takes LOCAL for a health check: an allow list or a limit that lets checks pass lets these clients
# pass as well, and LOCAL with bytes behind it proves nothing, for a check with `option httpchk` has them, too.
#
# Needs apt-get with Debian 12's lists (as root), and python3. Exit status 1 when the behaviour is another one.
set -euo pipefail
version=2.6.12-1+deb12u4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p "$folder/archives/partial"
(cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download "haproxy=$version" && dpkg --extract haproxy_*.deb tree)
# What it is linked with, where the machine has not got it.
apt-get -qq -y --no-install-recommends --download-only -o Dir::Cache::archives="$folder/archives" install haproxy >/dev/null
for archive in "$folder"/archives/*.deb; do [ -e "$archive" ] && dpkg --extract "$archive" "$folder/tree"; done
export LD_LIBRARY_PATH=$folder/tree/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")
haproxy=$folder/tree/usr/sbin/haproxy
"$haproxy" -v | sed -n 1p

cat >"$folder/try.py" <<'PYTHON'
import socket, subprocess, sys, time
haproxy, folder = sys.argv[1:]
sink = socket.create_server(('127.0.0.1', 0))
sink.settimeout(10)
address = '127.0.0.1:%d' % sink.getsockname()[1]
with open(folder + '/haproxy.cfg', 'w') as config:
    config.write('defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n')
    for name, send in (('v1', 'send-proxy'), ('v2', 'send-proxy-v2')):
        config.write('listen %s\n bind %s/%s\n server sink %s %s\n' % (name, folder, name, address, send))
running = subprocess.Popen([haproxy, '-db', '-f', folder + '/haproxy.cfg'])


def seen_of(name):
    """What the server gets of a client that says hello."""
    client = socket.socket(socket.AF_UNIX)
    for _ in range(100):
        try:
            client.connect(folder + '/' + name)
            break
        except OSError:
            time.sleep(0.1)
    client.sendall(b'hello')
    relayed, _ = sink.accept()
    relayed.settimeout(10)
    seen = b''
    while not seen.endswith(b'hello'):
        chunk = relayed.recv(200)
        if not chunk:
            break
        seen += chunk
    print(name, seen)
    return seen


try:
    seen = [seen_of('v1'), seen_of('v2')]
finally:
    running.terminate()
    running.wait()
local = b'\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00'
is_so = seen == [b'PROXY UNKNOWN\r\nhello', local + b'hello']
print('as described: UNKNOWN, LOCAL, and the bytes of a client behind them' if is_so else 'NOT as described')
sys.exit(0 if is_so else 1)
PYTHON
python3 "$folder/try.py" "$haproxy" "$folder"
