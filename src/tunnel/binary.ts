import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { EndError } from '../errors.ts'
import { inTurn } from '../files/file-turns.ts'
import { readSmallFile } from '../files/small-file.ts'
import { packageFolder } from '../version.ts'

/** The wireguard-go to run. */
export interface Binary {
  readonly path: string
  /** The Go module version as the build wrote it; `unknown` for one that was built elsewhere. */
  readonly version: string
}

const name = 'wireguard-go'
const variable = 'WG_PUNCHHOLE_WIREGUARD_GO'
const besideProgram = join(packageFolder, 'native/bin')

/**
 * Finds wireguard-go: the file that `WG_PUNCHHOLE_WIREGUARD_GO` names (and then no other), else `native/bin` of
 * this package, else `PATH`.
 *
 * The version comes from the file `wireguard-go.version` beside it: `wireguard-go --version` tells the version of
 * its last tagged release, not the one it was built from.
 *
 * @throws EndError BINARY_MISSING, with every place that was looked at.
 */
export async function findBinary(
  env: Readonly<Record<string, string | undefined>> = process.env,
  folder: string = besideProgram,
): Promise<Binary> {
  const named = env[variable]
  const candidates = named ? [resolve(named)] : [folder, ...searchPath(env)].map(dir => join(dir, name))
  for (const path of candidates) if (await isExecutable(path)) return { path, version: await versionOf(path) }

  throw new EndError(
    'BINARY_MISSING',
    `there is no wireguard-go to run: looked at ${candidates.join(', ')}`,
    {
      fix: named
        ? `Set ${variable} to an executable file, or unset it`
        : `Build it with native/build.sh (needs Go), or set ${variable} to its path`,
    },
  )
}

/** An empty entry of PATH means the current folder to a shell; not to us. */
function searchPath(env: Readonly<Record<string, string | undefined>>): string[] {
  return (env.PATH ?? '').split(delimiter).filter(dir => dir !== '')
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    return await inTurn(path, async () => {
      await access(path, constants.X_OK)
      return (await stat(path)).isFile()
    })
  } catch {
    return false
  }
}

async function versionOf(path: string): Promise<string> {
  try {
    return (await readSmallFile(`${path}.version`)).text.trim() || 'unknown'
  } catch {
    return 'unknown'
  }
}
