// The first import of the door: an older Node fails inside a dependency otherwise, with nothing that says why.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  throw new Error(`Posthorn needs Node 22.19 or newer; this is ${process.version}.`);
}

export {};
