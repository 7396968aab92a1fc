// Asks an end for its health until it is ready, for up to 60 s; says what it heard whenever that changes.
const [, url] = process.argv
const deadline = Date.now() + 60_000
let heard = ''
while (process.exitCode === undefined) {
  const { ok, text } = await ask()
  if (text !== heard) console.log(text)
  heard = text
  if (ok) process.exitCode = 0
  else if (Date.now() >= deadline) process.exitCode = 1
  else await new Promise(resolve => setTimeout(resolve, 1000))
}

async function ask() {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) })
    return { ok: response.ok, text: `${response.status} ${await response.text()}` }
  } catch (error) {
    return { ok: false, text: String(error.cause ?? error) }
  }
}
