"""`python -m birdiedna.cli` is `birdiedna`."""

import sys

from birdiedna.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
