"""The VEN package that this PCE hands out: one file beside the function, read once."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VenPackage:
    """A gzipped tar file and the name that only these bytes have."""

    content: bytes
    sha256: str


def ven_package() -> VenPackage:
    """The package in the file that ``PCE_VEN_PACKAGE`` names. Cost: one read of some 100 kB, once.

    It is a part of the deployment, so a missing one is a bug and raises OSError or KeyError.
    """
    return _read(os.environ["PCE_VEN_PACKAGE"])


@lru_cache(maxsize=1)
def _read(path: str) -> VenPackage:
    content = Path(path).read_bytes()
    return VenPackage(content, hashlib.sha256(content).hexdigest())
