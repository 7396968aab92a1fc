import t from 'tap'
import { silentClients } from './silent-clients.ts'

/** The short form of silent-clients.full.ts. */
await silentClients(t, 1000)
