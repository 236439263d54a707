// Accepts and settles without end, printing each id once it is acknowledged, until it is killed.
import { newDeliveryId, newId } from '../../src/model/id.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { createSqliteStore } from '../../src/store/sqlite/store.ts';
import { makeEntry, makeSettlement } from './make.ts';

const store = createSqliteStore({ dataDir: process.argv[2]!, keyRing: createKeyRing(['a master key for tests only']) });
await store.open({ migrate: true, now: Date.now() });

async function one(endpointId: string, round: number): Promise<void> {
  const entry = makeEntry(
    [endpointId],
    'sending',
    {},
    { dedupe: [{ key: newDeliveryId(Date.now()), fingerprint: 'f' }] },
  );
  await store.accept([entry]);
  process.stdout.write(`accepted ${entry.deliveries[0]!.id}\n`);
  if (round % 2) return;
  await store.settle(makeSettlement(entry.deliveries[0]!.id));
  process.stdout.write(`settled ${entry.deliveries[0]!.id}\n`);
}

const endpointId = newId(Date.now());
for (let round = 0; ; round++) await Promise.all(Array.from({ length: 20 }, (_, i) => one(endpointId, round + i)));
