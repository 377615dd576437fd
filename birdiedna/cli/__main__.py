"""`python -m birdiedna.cli` is `birdiedna`."""

import sys

from birdiedna.cli import run

if __name__ == "__main__":
    sys.exit(run())
