/** Tries again until `seconds` have passed: for programs that do not say when they are ready. */
export async function retry<T>(attempt: () => Promise<T>, seconds = 15): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}
