/**
 * In words that Node 12 understands, which Debian 11 and Ubuntu 22.04 bring: whoever starts the program with an old Node
 * is told so, and not by a syntax error.
 */

/** The oldest Node that runs the program: what package.json says under `engines`. */
const oldest = [24, 12]

/** What to say of a Node of this version, such as `20.19.2`; undefined when it is new enough. */
export function complaintOf(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > oldest[0]! || (major === oldest[0] && minor >= oldest[1]!)) return undefined
  return `Node ${version} is too old, ${oldest.join('.')} or newer is needed. Install one, and put its folder first in PATH`
}
