/** With this begins what is said of a target that leads back, and of a connection that came back. */
export const loopMark = 'loop: '
