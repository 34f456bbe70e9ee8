"""``python -m lab.postgres_crowd``: takes every connection that it can get, and keeps them."""

import sys
import time
from typing import Final

import psycopg

_PAUSE_S: Final = 0.5


def crowd(conninfo: str) -> None:
    """Open connections until none is left, and again when one was lost. The password is in PGPASSWORD."""
    kept: list[psycopg.Connection[tuple[object, ...]]] = []
    while True:
        try:
            kept.append(psycopg.connect(conninfo, autocommit=True))
        except psycopg.OperationalError as exc:
            print(f"{len(kept)} connections are kept: {exc}", flush=True)
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    crowd(sys.argv[1])
