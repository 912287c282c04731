"""MIT's GSSAPI library, as both sides call it through ``ctypes``: types, and errors in words.

Loaded by what makes or judges a Kerberos ticket, and by nothing else. Python packages for the
library are compiled where they are installed, which neither a workload nor a Lambda layer can do.
Source: RFC 2744; credential stores are MIT's (``gss_acquire_cred_from``).
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint32, c_void_p

LIBRARY = "libgssapi_krb5.so.2"
"""Debian: ``libgssapi-krb5-2``; RHEL: ``krb5-libs``."""

INITIATE, ACCEPT = 1, 2
"""What a credential is for."""
INDEFINITE = 0xFFFFFFFF
_ERRORS = 0xFFFF0000
"""The calling and routine errors of a status; the rest is information."""
_GSS_CODE, _MECHANISM_CODE = 1, 2


class Buffer(ctypes.Structure):
    """Bytes to or from the library; what it filled is released by ``gss_release_buffer``."""

    _fields_ = (("length", c_size_t), ("value", c_void_p))

    @classmethod
    def of(cls, content: bytes) -> "Buffer":
        """As long as ``content`` lives."""
        return cls(len(content), ctypes.cast(c_char_p(content), c_void_p))

    @property
    def content(self) -> bytes:
        """A copy of what the library put there."""
        return ctypes.string_at(self.value, self.length) if self.value else b""


class Oid(ctypes.Structure):
    """The name of a mechanism or of a kind of names."""

    _fields_ = (("length", c_uint32), ("elements", c_char_p))


class _OidSet(ctypes.Structure):
    _fields_ = (("count", c_size_t), ("elements", POINTER(Oid)))


class _KeyValue(ctypes.Structure):
    _fields_ = (("key", c_char_p), ("value", c_char_p))


class _Store(ctypes.Structure):
    _fields_ = (("count", c_uint32), ("elements", POINTER(_KeyValue)))


KERBEROS = Oid(9, bytes.fromhex("2a864886f712010202"))
HOSTBASED_SERVICE = Oid(10, bytes.fromhex("2a864886f71201020104"))


def acquire_credential(
    gss: ctypes.CDLL, minor: c_uint32, usage: int, store: dict[bytes, str], credential: c_void_p
) -> int:
    """``gss_acquire_cred_from`` for Kerberos, from a store such as ``{b"keytab": "FILE:/x"}``;
    returns the status."""
    pairs = (_KeyValue * len(store))(*(_KeyValue(k, v.encode()) for k, v in store.items()))
    return int(
        gss.gss_acquire_cred_from(
            byref(minor), None, INDEFINITE, byref(_OidSet(1, ctypes.pointer(KERBEROS))),
            usage, byref(_Store(len(store), pairs)), byref(credential), None, None,
        )
    )  # fmt: skip


def failed(major: int) -> bool:
    """Whether this status is an error."""
    return bool(major & _ERRORS)


def in_words(gss: ctypes.CDLL, major: int, minor: c_uint32) -> str:
    """What the library says of a status."""
    said = []
    for code, kind in ((major, _GSS_CODE), (minor.value, _MECHANISM_CODE)):
        more, ignored, text = c_uint32(0), c_uint32(), Buffer()
        while True:
            gss.gss_display_status(
                byref(ignored), c_uint32(code & 0xFFFFFFFF), kind, byref(KERBEROS),
                byref(more), byref(text),
            )  # fmt: skip
            said.append(text.content.decode(errors="replace"))
            gss.gss_release_buffer(byref(ignored), byref(text))
            if not more.value:
                break
    return "; ".join(said)
