"""`python -m chiasm` is `chiasm`."""

import sys

from chiasm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
