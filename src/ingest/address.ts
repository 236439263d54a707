/** What `--from` says. Its text is never logged: it may hold a password. */
export interface Address {
  broker: 'nats' | 'kafka' | 'amqp' | 'sqs';
  tls: boolean;
  /** `host` or `host:port`, at least one. */
  hosts: string[];
  user: string | null;
  password: string | null;
  /** Without the slash it begins with; `''` without. */
  path: string;
}

const schemes: Record<string, Pick<Address, 'broker' | 'tls'>> = {
  nats: { broker: 'nats', tls: false },
  tls: { broker: 'nats', tls: true },
  kafka: { broker: 'kafka', tls: false },
  'kafka+ssl': { broker: 'kafka', tls: true },
  amqp: { broker: 'amqp', tls: false },
  amqps: { broker: 'amqp', tls: true },
  sqs: { broker: 'sqs', tls: true },
};

/** Several hosts with commas are usual for NATS and Kafka, and no URL; so it is read by hand. */
const ADDRESS = /^([a-z+]+):\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/i;
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

/** Reads an address of a broker, or says what is wrong with it, without repeating it. */
export function parseAddress(text: string): Address | string {
  const match = ADDRESS.exec(text.trim());
  if (match === null) return 'is no address of a broker; give one like nats://127.0.0.1:4222, without ? and #';
  const [, scheme = '', userInfo, hostList = '', path = ''] = match;
  const known = Object.hasOwn(schemes, scheme.toLowerCase()) ? schemes[scheme.toLowerCase()] : undefined;
  if (known === undefined) return `${scheme}:// is unknown; give ${Object.keys(schemes).join('://, ')}://`;
  const hosts = hostList.split(',');
  if (hosts.some((host) => !HOST.test(host))) return 'names a host that is none; give host:port, several with commas';
  const several = known.broker === 'nats' || known.broker === 'kafka';
  if (hosts.length > 1 && !several) return `names several hosts, of which ${known.broker} takes one`;
  try {
    const [user, password] = userInfo === undefined ? [] : userInfo.split(/:(.*)/s).map(decodeURIComponent);
    return { ...known, hosts, user: user ?? null, password: password ?? null, path: decodeURIComponent(path) };
  } catch {
    return 'has a % that stands for nothing; write %25 for the sign itself';
  }
}
