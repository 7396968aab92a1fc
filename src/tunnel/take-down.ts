import { socketOf } from './bring-up.ts'
import { removeDevice } from './device.ts'
import type { Ip } from './ip.ts'
import { reach } from './process.ts'
import { removeBackstops } from './routes.ts'

/** Removes what a tunnel leaves whose wireguard-go has ended: a stale socket, the device, and the routes behind it. */
export async function takeDown(ip: Ip, runFolder: string, name: string): Promise<void> {
  const socket = await reach(socketOf(runFolder, name))
  socket?.destroy()
  await removeDevice(ip, name)
  await removeBackstops(ip, name)
}
