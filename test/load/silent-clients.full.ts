import t from 'tap'
import { silentClients } from './silent-clients.ts'

await silentClients(t, 5000)
