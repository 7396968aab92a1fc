/** Answers every byte on 127.0.0.1:`port` with the same byte, for thousands of clients at once. Runs in an agent. */
export async function echo(port: number): Promise<void> {
  const { createServer } = await import('node:net')
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>(resolve => server.listen({ port, host: '127.0.0.1', backlog: 4096 }, resolve))
}
