import { Socket } from 'node:net';

/** Read at once. */
const READ_BYTES = 4 * 1024;

/**
 * A TCP socket that hands out what it reads in one buffer that it uses again and again. As a stream it would allocate 64 KiB
 * for each read, give most of it back, and make a Buffer and an event of the rest: half of what reading a short response
 * costs. TLS runs over it as over any other socket, and then has a stream of its own.
 */
export class ByteSocket extends Socket {
  /** The first `length` of `bytes` came in; they are written over when this returns. */
  onBytes: (bytes: Buffer, length: number) => void = () => void this.destroy();

  constructor() {
    super({
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BYTES),
        callback: (length, bytes) => {
          this.onBytes(bytes as Buffer, length);
          return true;
        },
      },
    });
  }
}
