/** IP addresses as the 4 or 16 bytes that headers carry. */

export function readV4(bytes: Buffer, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
}

/** RFC 5952: the longest run of at least two zero words, the first of equals, is written `::`. */
export function readV6(bytes: Buffer, at: number): string {
  let [start, size, run] = [8, 1, 0]
  const words: string[] = []
  for (let i = 0; i < 8; i++) {
    const word = bytes.readUInt16BE(at + 2 * i)
    words.push(word.toString(16))
    run = word === 0 ? run + 1 : 0
    if (run > size) [start, size] = [i + 1 - run, run]
    // Five zero words and this one: IPv4-mapped.
    if (i === 5 && size === 5 && word === 0xffff) return readV4(bytes, at + 12)
  }
  if (start === 8) return words.join(':')
  return `${words.slice(0, start).join(':')}::${words.slice(start + size).join(':')}`
}

export function writeV4(bytes: Buffer, at: number, address: string, from = 0): void {
  let octet = 0
  for (let i = from; i < address.length; i++) {
    const code = address.charCodeAt(i)
    if (code === 46) {
      bytes[at++] = octet
      octet = 0
    } else octet = octet * 10 + code - 48
  }
  bytes[at] = octet
}

/** IPv4 goes out mapped. A zone, which Node gives a link-local peer's address, means nothing to others. */
export function writeV6(bytes: Buffer, at: number, address: string): void {
  const end = at + 16
  const [text = ''] = address.includes(':') ? address.split('%') : [`::ffff:${address}`]
  let gap = end
  for (let i = 0; i < text.length; ) {
    const colon = text.indexOf(':', i)
    const next = colon < 0 ? text.length : colon
    if (colon < 0 && text.includes('.', i)) {
      writeV4(bytes, at, text, i)
      at += 4
    } else if (next > i) {
      bytes.writeUInt16BE(Number.parseInt(text.slice(i, next), 16), at)
      at += 2
    } else gap = at
    i = next + 1
  }
  // `::` stands for what is missing: what came after it moves to the end.
  bytes.copyWithin(end - (at - gap), gap, at)
  bytes.fill(0, gap, end - (at - gap))
}
