/** Three figures, or all before the point. */
export function number(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

/** A table, its titles first, that reads well in a terminal too. */
export function markdown(table: readonly string[][]): string {
  const widths = table[0]!.map((_, column) => Math.max(3, ...table.map(line => line[column]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [line(table[0]!), line(widths.map(width => '-'.repeat(width))), ...table.slice(1).map(line)].join(
    '\n',
  )
}
