import { chmod, rename, rm, writeFile } from 'node:fs/promises'

/** Puts a text in the place of a file in one step: whoever reads sees the old one or the new one, whole. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const draft = `${path}.tmp`
  try {
    await rm(draft, { force: true })
    await writeFile(draft, text, { mode, flag: 'wx' })
    await chmod(draft, mode) // The umask has narrowed it.
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw error
  }
}
