"""Files of the Hugging Face hub: their addresses, and what the hub says they are.

Only these are asked of huggingface_hub. The bytes come by `transfer` like all others: the hub's
own download (2.4) checks the size alone and keeps nothing of what was cut.
"""

import logging
import os
import re
from urllib.parse import urlsplit

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from birdiedna import catalogue
from birdiedna.downloads import transfer

_LOG = logging.getLogger(__name__)


def hosts() -> tuple[str, ...]:
    """The hosts of the catalogue and, where `$HF_ENDPOINT` names another hub, that one."""
    own = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname
    return (*catalogue.HOSTS, own) if own else catalogue.HOSTS


def stated(hub: catalogue.Hub, file: catalogue.File, patience: transfer.Patience) -> catalogue.File:
    """The file with its address, its size, and its sha256 as the hub has them for the commit.

    Raises:
      FileNotFoundError: the hub answers that it has no such file, revision or data set.
      ConnectionError: no answer.
      ValueError: the answer is not of the pinned commit, or of no hub.
      OSError: another HTTP status.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    url = hf_hub_url(
        hub.repo, file.path, repo_type="dataset", revision=hub.revision, endpoint=endpoint
    )
    transfer.check_address(url, hosts())
    found = transfer.patiently(lambda: _metadata(url, patience.timeout_s), url, patience)
    if not found.commit_hash or found.size is None:
        raise ValueError(f"{url}: no answer of a Hugging Face hub; look at HF_ENDPOINT and proxies")
    if not found.commit_hash.startswith(hub.commit):
        said = f"{url}: commit {found.commit_hash}, expected {hub.commit}"
        if hub.revision != "main":
            raise ValueError(f"{said}; the server does not give the pinned revision")
        _LOG.warning("%s; the data set has changed since it was described", said)
    # Files outside git-lfs have a git sum instead, of 40 letters.
    sha256 = found.etag if re.fullmatch("[0-9a-f]{64}", found.etag or "") else None
    return file._replace(urls=(url,), bytes=found.size, sha256=sha256)


def _metadata(url: str, timeout_s: float) -> HfFileMetadata:
    try:
        return get_hf_file_metadata(url, token=False, timeout=timeout_s)
    except OfflineModeIsEnabled as error:
        raise ConnectionError(f"{url}: HF_HUB_OFFLINE is set, so the hub is not asked") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        if code in transfer.PASSING:
            raise transfer.Interrupted(f"HTTP {code}") from error
        if code in (404, 410):
            raise FileNotFoundError(f"{url}: HTTP {code}: the hub has no such file") from error
        raise OSError(f"{url}: HTTP {code}: the hub does not give the file") from error
    except Exception as error:
        # Its releases speak through requests, httpx and httpx2: no connection has three names.
        raise transfer.Interrupted(transfer.unreached(url, error)) from error
