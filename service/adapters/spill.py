"""Room on disk for what does not fit into memory; it is gone with the process.

Knows nothing of what is kept. TMPDIR says on which disk.
"""

from __future__ import annotations

import sqlite3

PAGES_KIB = 16 * 1024
"""Of each database in memory; the rest of it is on disk."""


def database() -> sqlite3.Connection:
    """An empty database on a file without a name."""
    connection = sqlite3.connect("", isolation_level=None)
    connection.execute(f"PRAGMA cache_size = -{PAGES_KIB}")
    return connection
