import { formatSeconds } from '../text/amount.ts'
import { type Html, html } from './html.ts'

/** A moment as a person reads it: how long ago, and the exact time where the pointer rests. */

/** `time` and `now` are milliseconds since the epoch, or `time` is ISO 8601. */
export function ago(time: number | string, now: number): Html {
  const seconds = (now - Date.parse(iso(time))) / 1000
  return moment(time, seconds < 1 ? 'just now' : `${formatSeconds(seconds)} ago`)
}

/** For how long it has been so. */
export function since(time: number | string, now: number): Html {
  return moment(time, formatSeconds((now - Date.parse(iso(time))) / 1000))
}

/** `03:04:05 UTC`. */
export function clock(time: number): Html {
  return moment(time, `${iso(time).slice(11, 19)} UTC`)
}

function moment(time: number | string, text: string): Html {
  const exact = iso(time)
  return html`<time datetime="${exact}" title="${exact.slice(0, 19).replace('T', ' ')} UTC">${text}</time>`
}

function iso(time: number | string): string {
  return typeof time === 'string' ? time : new Date(time).toISOString()
}
