import type { Values } from './metric.ts'
import type { NetworkName } from './networks.ts'

/** What one contender reached in one round on one network. */
export interface Row {
  readonly round: number
  readonly network: NetworkName
  readonly contender: string
  /** Whether the backend saw the client's own address; the echo server does not look for it. */
  readonly realClient?: boolean | undefined
  readonly values: Values
  /** Why something could not be measured. */
  readonly failure?: string
  readonly disturbance?: Disturbance
}

/** Whether other processes ran beside a row's measurements; each text says what. */
export interface Disturbance {
  /** Lives of the contender's processes, those that were thrown away included. */
  readonly sessions: number
  readonly thrown: readonly string[]
  /** Measured several times, and disturbed each time. */
  readonly kept: readonly string[]
}

/** Over all rounds. */
export interface Cell {
  readonly median: number
  /** The median of each round's ratio to the reference in the same round; of the reference itself none. */
  readonly ratio: number | undefined
  /** The lowest of those ratios. */
  readonly least: number | undefined
}

/** The middle number, or the mean of the two in the middle; of nothing it is undefined. */
export function median(numbers: readonly number[]): number | undefined {
  const sorted = numbers.toSorted((a, b) => a - b)
  const upper = sorted[sorted.length >> 1]
  return upper === undefined ? undefined : (sorted[(sorted.length - 1) >> 1]! + upper) / 2
}

/**
 * One contender's cell for one value, `undefined` when no round has it. Contenders take turns within a round, so that
 * whatever slows the machine for a minute slows both sides of a ratio.
 */
export function cellOf(
  rows: readonly Row[],
  at: { readonly network: NetworkName; readonly contender: string; readonly key: string },
  reference: string,
): Cell | undefined {
  const here = rows.filter(row => row.network === at.network)
  const valueIn = (round: number, contender: string) =>
    here.find(row => row.round === round && row.contender === contender)?.values[at.key]
  const rounds = [...new Set(here.map(row => row.round))]
  const middle = median(rounds.flatMap(round => valueIn(round, at.contender) ?? []))
  if (middle === undefined) return undefined
  if (at.contender === reference) return { median: middle, ratio: undefined, least: undefined }
  const ratios = rounds.flatMap(round => {
    const [own, other] = [valueIn(round, at.contender), valueIn(round, reference)]
    return own === undefined || other === undefined || other === 0 ? [] : [own / other]
  })
  return { median: middle, ratio: median(ratios), least: ratios.toSorted((a, b) => a - b)[0] }
}
