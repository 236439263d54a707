"""An event inside your own transaction, with psycopg. DATABASE_URL names the database that Posthorn runs on."""

import json
import os
import uuid

import psycopg


def place_order(connection: psycopg.Connection, order: dict) -> None:
    with connection.transaction(), connection.cursor() as cur:
        cur.execute("INSERT INTO orders (id, total) VALUES (%s, %s)", (order["id"], order["total"]))
        cur.execute(
            "SELECT posthorn.emit(%s, %s, id => %s)",
            ("order.created", json.dumps(order), f"order-{order['id']}"),
        )
        if order["total"] < 0:
            raise ValueError("An order costs something.")


with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)")

    wrong = {"id": str(uuid.uuid4()), "total": -1}
    try:
        place_order(connection, wrong)
    except ValueError:
        print("rolled back", wrong["id"])

    right = {"id": str(uuid.uuid4()), "total": 1050}
    place_order(connection, right)
    print("committed", right["id"])
