import type { Share } from '../sockets/shares.ts'
import { LinkError } from './frame.ts'
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

/** There is no room for what a peer wants; worth a warning. */
export class PeerLimit extends LinkError {}

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

  /** Throws `PeerLimit` where one more connection that has not said what it is would be too many. */
  roomToGreet(): void {
    if (this.greeting >= mostGreeting)
      throw new PeerLimit(`${mostGreeting} connections of it have not said yet what they are`)
  }

  /** The same for one more link. One that does not answer makes room. */
  roomForLink(): void {
    if (this.links.size < mostLinks) return
    // One that has all the streams it may have is not ready either, but it is there.
    for (const { session } of this.links)
      if (!session.isReady && session.streams < session.own.streams) {
        session.close(`one of ${mostLinks} links of its peer, and it does not answer`)
        return
      }
    throw new PeerLimit(`it has ${mostLinks} links`)
  }

  /** The same for one more lane that waits for its stream. */
  roomForLane(): void {
    let waiting = 0
    for (const { lanes } of this.links) waiting += lanes.size
    if (waiting >= mostLanes) throw new PeerLimit(`${mostLanes} lanes of it wait for a stream`)
  }
}
