/** What a datagram is sent with, or begins with, where it is bare. */
export const bare: Buffer = Buffer.alloc(0)

/** Where there is no datagram; never to be written to. */
export const none: readonly Buffer[] = []
