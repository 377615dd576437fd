"""`python -m birdiedna.book` is `birdiedna book`."""

import sys

from birdiedna.book.command import main

sys.exit(main())
