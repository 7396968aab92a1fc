import { systemCode } from '../errors.ts'
import { readSmallFile } from '../files/small-file.ts'

/**
 * A file that names are looked up with, resolv.conf or hosts; empty where there is none, or none for us. Node reads the
 * first as it loads node:dns, the C library both, in plain ways: what is no file would hang them, so they are not asked.
 *
 * @throws Error for what is no file, or does not answer.
 */
export async function nameFile(path: string): Promise<string> {
  try {
    return (await readSmallFile(path)).text
  } catch (error) {
    if (systemCode(error) !== undefined) return ''
    throw error
  }
}
