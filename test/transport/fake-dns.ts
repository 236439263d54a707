import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import * as packet from 'dns-packet';
import { onTestFinished } from 'vitest';

/** What the name server does with one question. Records: addresses, or a `cname:` with where it leads. */
export type DnsAnswer = readonly string[] | 'servfail' | 'nxdomain' | 'refused' | 'silence' | 'garbage';

export interface FakeDns {
  /** `127.0.0.1:port`, as resolvers take it. */
  server: string;
  /** Questions so far, as `name type`. */
  questions: string[];
}

const rcodes = { servfail: 2, nxdomain: 3, refused: 5 };

/**
 * A name server on loopback that answers as the test says. `answer` gets the name, the type and how often this very
 * question was asked before. Addresses of the other family are left out, as a real server does.
 */
export async function startFakeDns(
  answer: (name: string, type: 'A' | 'AAAA', before: number) => DnsAnswer,
  ttlSeconds = 0,
): Promise<FakeDns> {
  const socket = createSocket('udp4');
  const questions: string[] = [];

  socket.on('message', (message, peer) => {
    const query = packet.decode(message);
    const question = query.questions?.[0];
    if (question === undefined || (question.type !== 'A' && question.type !== 'AAAA')) {
      return;
    }
    const { name, type } = question;
    const key = `${name} ${type}`;
    const before = questions.filter((asked) => asked === key).length;
    questions.push(key);
    const what = answer(name, type, before);
    if (what === 'silence') {
      return;
    }
    if (what === 'garbage') {
      // A header that answers the question but promises a record which never comes.
      const broken = packet.encode({ type: 'response', id: query.id ?? 0, questions: [question], answers: [] });
      broken.writeUInt16BE(1, 6);
      socket.send(broken, peer.port, peer.address);
      return;
    }
    const reply = packet.encode({
      type: 'response',
      id: query.id ?? 0,
      flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (typeof what === 'string' ? rcodes[what] : 0),
      questions: [question],
      answers: typeof what === 'string' ? [] : records(name, type, what, ttlSeconds),
    });
    socket.send(reply, peer.port, peer.address);
  });

  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return { server: `127.0.0.1:${socket.address().port}`, questions };
}

function records(name: string, type: 'A' | 'AAAA', entries: readonly string[], ttl: number): packet.Answer[] {
  const answers: packet.Answer[] = [];
  let owner = name;
  for (const entry of entries) {
    if (entry.startsWith('cname:')) {
      const target = entry.slice('cname:'.length);
      answers.push({ type: 'CNAME', name: owner, ttl, data: target });
      owner = target;
    } else if (entry.includes(':') === (type === 'AAAA')) {
      answers.push({ type, name: owner, ttl, data: entry });
    }
  }
  return answers;
}
