import type { Share } from '../shares.ts'
import type { Lanes } from './lanes.ts'
import type { Session } from './session.ts'

/**
 * Links of one peer. An end dials four at the most; those before a fresh start of it end when it is clear that nobody
 * answers. Several ends may stand behind one peer.
 */
const mostLinks = 16
/** Connections of one peer that have not said what they are. With its links they are fewer than what is in reserve for links. */
const mostGreeting = 32
/** Lanes of one peer that wait for a stream; an end dials eight ahead. */
const mostLanes = 64

/** A link that another end has dialled. */
export interface AcceptedLink {
  readonly session: Session
  readonly lanes: Lanes
  readonly peer: PeerLinks
}

/** What one peer has at the link's port. It is bounded, so that one peer leaves room for the others. */
export class PeerLinks {
  readonly share: Share
  readonly links = new Set<AcceptedLink>()
  /** Connections that have not said what they are. */
  greeting = 0

  constructor(share: Share) {
    this.share = share
  }

  /** Why it may not have one more connection that has not said what it is. */
  whyNoGreeting(): string | undefined {
    return this.greeting < mostGreeting
      ? undefined
      : `${mostGreeting} connections of it have not said yet what they are`
  }

  /** Why it may not have one more link. One that does not answer makes room. */
  whyNoLink(): string | undefined {
    if (this.links.size < mostLinks) return undefined
    for (const { session } of this.links)
      if (!session.isReady) {
        session.close(`one of ${mostLinks} links of its peer, and it does not answer`)
        return undefined
      }
    return `it has ${mostLinks} links`
  }

  /** Why it may not have one more lane that waits for its stream. */
  whyNoLane(): string | undefined {
    let waiting = 0
    for (const { lanes } of this.links) waiting += lanes.size
    return waiting < mostLanes ? undefined : `${mostLanes} lanes of it wait for a stream`
  }
}
