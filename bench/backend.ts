import { createReadStream, existsSync } from 'node:fs'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { address, type Network } from './network.ts'
import { retry } from './retry.ts'

/** Ports of the backend: one requires a PROXY header, the other must not get one. */
export const port = { proxy: 80, plain: 81 } as const

/** Bytes of the big file for each second that a transfer may take, 5 Gbit/s: transfers end with their time, not with the file. */
const bytesPerSecond = 5e9 / 8

/**
 * nginx behind the pod: `/small.txt` (120 bytes), `/big.bin`, `/up` takes a body, `/ip` answers with the client's address as it
 * is known there. The files lie in `folder`, which serves all rounds. `longest` is that of a transfer, in seconds.
 */
export async function startBackend(
  { lab, backend }: Network,
  folder: string,
  longest: number,
): Promise<void> {
  await makeFiles(folder, longest * bytesPerSecond)
  const server = (listen: string, client: string) => `
  server {
    listen ${address.backend}:${listen} backlog=8192 reuseport;
    root ${folder};
    location = /up { client_max_body_size 0; return 200; }
    location = /ip { return 200 "$${client}\\n"; }
  }`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${lab.folder};`)
    .join(' ')
  const conf = join(lab.folder, 'nginx.conf')
  await writeFile(
    conf,
    `user root; daemon off; worker_processes 1; pid ${lab.folder}/nginx.pid; error_log ${lab.folder}/nginx.log;
events { worker_connections 19000; }
http {
  access_log off; sendfile on; tcp_nopush on;
  keepalive_requests 100000000; client_header_timeout 600s; lingering_time 600s;
  ${temporary}
  ${server(`${port.proxy} proxy_protocol`, 'proxy_protocol_addr')}
  ${server(String(port.plain), 'remote_addr')}
}
`,
  )
  backend.start('nginx', ['-c', conf])
  const url = `http://${address.backend}:${port.plain}/small.txt`
  await retry(() => backend.exec('curl', '-s', '-m', '1', '-o', '/dev/null', url))
}

/** The file to download and to upload. */
export function bigFile(folder: string): string {
  return join(folder, 'big.bin')
}

async function makeFiles(folder: string, bigBytes: number): Promise<void> {
  const big = bigFile(folder)
  if (existsSync(big)) return
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'small.txt'), 'hello, tunnel\n\n'.repeat(8))
  await writeFile(big, '')
  await truncate(big, bigBytes)
  // The file has no blocks: from here on its zeros are in the page cache.
  for await (const _ of createReadStream(big, { highWaterMark: 1 << 20 }));
}
