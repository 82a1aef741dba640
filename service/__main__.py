"""`python -m service` and the console script `call-dispatcher`.

Knows nothing but where the command line begins.
"""

from __future__ import annotations

import sys

from service.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
