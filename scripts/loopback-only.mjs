// Preloaded (`node --import`) where what is tested could reach out: names have no address, and only this machine answers.
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

/** @returns {NodeJS.ErrnoException} */
function failure(code, syscall, what) {
  return Object.assign(new Error(`${syscall} ${code} ${what}: only this machine is reachable in tests`), {
    code,
    syscall,
  });
}

for (const [resolver, isPromised] of [
  [dns.Resolver.prototype, false],
  [dns.promises.Resolver.prototype, true],
  [dns, false],
  [dns.promises, true],
]) {
  for (const method of ['resolve', 'resolve4', 'resolve6', 'resolveAny', 'resolveCname']) {
    resolver[method] = (name, ...rest) => {
      const error = failure('ENOTFOUND', 'query', name);
      if (isPromised) return Promise.reject(error);
      process.nextTick(rest.at(-1), error);
    };
  }
}

const { lookup } = dns;
dns.lookup = (name, ...rest) => {
  if (name === 'localhost' || net.isIP(name)) return lookup(name, ...rest);
  process.nextTick(rest.at(-1), failure('ENOTFOUND', 'getaddrinfo', name));
};

const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  const host = typeof options === 'object' ? (options.host ?? '127.0.0.1') : '127.0.0.1';
  if (options?.path === undefined && net.isIP(host) && !/^(?:127\.|::1$)/.test(host)) {
    process.nextTick(() => this.destroy(failure('ECONNREFUSED', 'connect', host)));
    return this;
  }
  return connect.apply(this, args);
};
syncBuiltinESMExports();
