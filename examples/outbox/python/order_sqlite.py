"""An event inside your own transaction, with SQLite. DATABASE_FILE is your own database; Posthorn takes the events from
it: POSTHORN_OUTBOX_FILE names the same file."""

import json
import os
import sqlite3
import uuid

# As docs/outbox.md has it. `createOutboxTable(db)` of posthorn/outbox makes the same.
OUTBOX = """
CREATE TABLE IF NOT EXISTS posthorn_outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT NOT NULL DEFAULT 'default',
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  own_id TEXT,
  occurred_at INTEGER,
  category TEXT,
  group_key TEXT,
  source TEXT,
  created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
  failed_at INTEGER,
  error TEXT
);
CREATE INDEX IF NOT EXISTS posthorn_outbox_next ON posthorn_outbox (id) WHERE failed_at IS NULL;
"""


def place_order(db: sqlite3.Connection, order: dict) -> None:
    with db:  # commits, or rolls back what raises
        db.execute("INSERT INTO orders (id, total) VALUES (?, ?)", (order["id"], order["total"]))
        db.execute(
            "INSERT INTO posthorn_outbox (type, data, own_id) VALUES (?, ?, ?)",
            ("order.created", json.dumps(order), f"order-{order['id']}"),
        )
        if order["total"] < 0:
            raise ValueError("An order costs something.")


db = sqlite3.connect(os.environ["DATABASE_FILE"])
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, total INTEGER NOT NULL)")
db.executescript(OUTBOX)

wrong = {"id": str(uuid.uuid4()), "total": -1}
try:
    place_order(db, wrong)
except ValueError:
    print("rolled back", wrong["id"])

right = {"id": str(uuid.uuid4()), "total": 1050}
place_order(db, right)
print("committed", right["id"])
db.close()
