// Asks each pod of an end for its health until it is ready, for up to 60 s; says what it heard whenever that changes.
const [, ...urls] = process.argv
const deadline = Date.now() + 60_000
const verdicts = await Promise.all(urls.map(untilReady))
if (verdicts.includes(false)) process.exitCode = 1

async function untilReady(url) {
  const pod = urls.length > 1 ? `${new URL(url).hostname.split('.', 1)[0]} ` : ''
  for (let heard = ''; ; ) {
    const { ok, text } = await ask(url)
    if (text !== heard) console.log(`${pod}${text}`)
    heard = text
    if (ok || Date.now() >= deadline) return ok
    await new Promise(resolve => setTimeout(resolve, 1000))
  }
}

async function ask(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) })
    return { ok: response.ok, text: `${response.status} ${await response.text()}` }
  } catch (error) {
    return { ok: false, text: String(error.cause ?? error) }
  }
}
