import { connect } from 'node:net'
import { retry } from './retry.ts'

/**
 * Resolves when a wireguard-go takes questions for this interface. Ask wg(8) only then: one that meets a socket which does
 * not listen yet takes it for a dead one's and removes it, and nobody ever finds that wireguard-go again.
 */
export async function deviceListens(device: string): Promise<void> {
  await retry(
    () =>
      new Promise<void>((resolve, reject) => {
        const socket = connect(`/var/run/wireguard/${device}.sock`, () => {
          socket.destroy()
          resolve()
        })
        socket.on('error', reject)
      }),
  )
}
