"""Who a Kerberos ticket is from, by the system's MIT library and the keytab of an org.

The library is called through ``ctypes``: Python packages for it are compiled where they are
installed, and Lambda's layers are put together without a compiler. Where the library is not
(:class:`NoKerberos`) no ticket is believed. Source of the calls: RFC 2744; credential stores are
MIT's (``gss_acquire_cred_from``).
"""

import ctypes
import tempfile
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from pathlib import Path

LIBRARY = "libgssapi_krb5.so.2"
MAX_TICKET_BYTES = 65_536
"""Tickets of Active Directory grow with the groups of their owner: 48 kB at most (MaxTokenSize)."""

_ACCEPT = 2
_INDEFINITE = 0xFFFFFFFF
_CONTINUE = 1
_GSS_CODE, _MECHANISM_CODE = 1, 2


class NoKerberos(Exception):
    """The library is not there, or the keytab is none."""


class TicketRefused(Exception):
    """The ticket proves nothing; the text says why."""


class _Buffer(ctypes.Structure):
    _fields_ = (("length", c_size_t), ("value", c_void_p))

    @classmethod
    def of(cls, content: bytes) -> "_Buffer":
        """As long as ``content`` lives."""
        return cls(len(content), ctypes.cast(c_char_p(content), c_void_p))

    @property
    def content(self) -> bytes:
        """A copy of what the library put there."""
        return ctypes.string_at(self.value, self.length) if self.value else b""


class _Oid(ctypes.Structure):
    _fields_ = (("length", c_uint32), ("elements", c_char_p))


class _OidSet(ctypes.Structure):
    _fields_ = (("count", c_size_t), ("elements", POINTER(_Oid)))


class _KeyValue(ctypes.Structure):
    _fields_ = (("key", c_char_p), ("value", c_char_p))


class _Store(ctypes.Structure):
    _fields_ = (("count", c_uint32), ("elements", POINTER(_KeyValue)))


_KERBEROS = _Oid(9, bytes.fromhex("2a864886f712010202"))


def principal_of(ticket: bytes, keytab: bytes) -> str:
    """The principal that made this GSSAPI token for a service in the keytab, ``host/x@REALM``.

    Raises :class:`TicketRefused` for one that is forged, for another service, too old, or was seen
    before by this process; :class:`NoKerberos`.
    """
    gss = _library()
    with tempfile.TemporaryDirectory(prefix="keytab-") as folder:
        file = Path(folder) / "keytab"
        file.touch(mode=0o600)
        file.write_bytes(keytab)
        return _accept(gss, ticket, f"FILE:{file}")


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NoKerberos(f"the Kerberos library is not installed: {error}") from error


@lru_cache(maxsize=1)
def _replays() -> str:
    """Where this process notes the tickets that it has seen."""
    return f"file2:{tempfile.mkdtemp(prefix='krb5-')}/seen"


def _accept(gss: ctypes.CDLL, ticket: bytes, keytab: str) -> str:
    minor = c_uint32()
    credential, context, source = c_void_p(), c_void_p(), c_void_p()
    reply, name = _Buffer(), _Buffer()
    pairs = (_KeyValue * 2)(
        _KeyValue(b"keytab", keytab.encode()), _KeyValue(b"rcache", _replays().encode())
    )
    try:
        major = gss.gss_acquire_cred_from(
            byref(minor), None, _INDEFINITE, byref(_OidSet(1, ctypes.pointer(_KERBEROS))),
            _ACCEPT, byref(_Store(2, pairs)), byref(credential), None, None,
        )  # fmt: skip
        if _failed(major):
            raise NoKerberos(_why(gss, major, minor))
        major = gss.gss_accept_sec_context(
            byref(minor), byref(context), credential, byref(_Buffer.of(ticket)), None,
            byref(source), None, byref(reply), None, None, None,
        )  # fmt: skip
        if _failed(major) or major & _CONTINUE:
            raise TicketRefused(_why(gss, major, minor))
        major = gss.gss_display_name(byref(minor), source, byref(name), None)
        if _failed(major):
            raise TicketRefused(_why(gss, major, minor))
        return name.content.decode(errors="replace")
    finally:
        ignored = c_uint32()
        for buffer in (reply, name):
            gss.gss_release_buffer(byref(ignored), byref(buffer))
        gss.gss_release_name(byref(ignored), byref(source))
        gss.gss_delete_sec_context(byref(ignored), byref(context), None)
        gss.gss_release_cred(byref(ignored), byref(credential))


def _failed(major: int) -> bool:
    return bool(major & 0xFFFF0000)  # the calling and routine errors; the rest is information


def _why(gss: ctypes.CDLL, major: int, minor: c_uint32) -> str:
    said = []
    for code, kind in ((major, _GSS_CODE), (minor.value, _MECHANISM_CODE)):
        more, ignored, text = c_uint32(0), c_uint32(), _Buffer()
        gss.gss_display_status(
            byref(ignored), c_uint32(code & 0xFFFFFFFF), kind, byref(_KERBEROS), byref(more),
            byref(text),
        )  # fmt: skip
        said.append(text.content.decode(errors="replace"))
        gss.gss_release_buffer(byref(ignored), byref(text))
    return "; ".join(said)
