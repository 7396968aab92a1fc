/**
 * Text of somebody else as it may stand on a terminal, in a line or on a page: without control characters, and without those
 * that turn the direction of what follows.
 */
export function visible(text: string, instead = '?'): string {
  return text.replace(/\p{Cc}|\p{Bidi_C}/gu, instead)
}
