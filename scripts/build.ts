/**
 * Bundles the program and the packages that it needs into a folder, dist/ where none is given: few files to find and to
 * read make it start faster and with 10 MB less, and it needs no node_modules. What a command needs alone is loaded with it.
 */
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Metafile } from 'esbuild'

const root = join(import.meta.dirname, '..')

if (import.meta.main) await bundle(process.argv[2] ?? join(root, 'dist'))

/** Resolves to what went into it. */
export async function bundle(outdir: string): Promise<Metafile> {
  rmSync(outdir, { recursive: true, force: true })
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts'],
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24.12',
    // Packages in CommonJS ask for node: modules by `require`, which a module has not.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    // A megabyte and a half less after the start; names, and lines short enough to be told by, stay.
    minifyWhitespace: true,
    lineLimit: 160,
    metafile: true,
    logLevel: 'warning',
  })
  chmodSync(join(outdir, 'main.js'), 0o755)
  return metafile
}
