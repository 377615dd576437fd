"""Downloads: entries of the catalogue and addresses of the user's own to files in the cache.

A file gets its name only after every check. What is cached is used without network.
"""

from birdiedna.downloads.counts import differences
from birdiedna.downloads.store import fetch, fetched, located
from birdiedna.downloads.transfer import Patience

__all__ = ["Patience", "differences", "fetch", "fetched", "located"]
