/** Every key that a test made: none of them may appear in what a program prints. */
const made = new Set<string>()

/** Remembers a private or preshared key, base64; gives it back. */
export function secret(key: string): string {
  made.add(key)
  return key
}

/** Throws when a text holds a key, as base64 or as hex, which is how wireguard-go is told it. The message does not show it. */
export function assertNoSecret(text: string): void {
  for (const key of made)
    for (const spelling of [key, key.slice(0, -1), Buffer.from(key, 'base64').toString('hex')]) {
      const at = text.indexOf(spelling)
      if (at >= 0) throw new Error(`a key was printed, behind: ${text.slice(Math.max(0, at - 200), at)}`)
    }
}
