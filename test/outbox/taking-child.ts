// A Posthorn in a process of its own, to be killed: data directory, the application's database, a receiver's URL.
import { startServer } from '../e2e/server.ts';

const [dataDir, outboxFile, url] = process.argv.slice(2);
const server = await startServer(dataDir!, { outboxFile: outboxFile! });
await server.webhook(url!, ['*']);
process.send!('ready');
