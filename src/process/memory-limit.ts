import { readFile } from 'node:fs/promises'

/** Memory that this process may use, in bytes, from its cgroup (v2, else v1); `undefined` without a limit. */
export async function memoryLimit(
  files: readonly string[] = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'],
): Promise<number | undefined> {
  for (const file of files) {
    const text = await readFile(file, 'latin1').catch(() => undefined)
    // v2 writes `max` for none, v1 the largest page-aligned number of 63 bits.
    if (text !== undefined) return /^\d{1,18}\n?$/.test(text) ? Number(text) : undefined
  }
  return undefined
}
