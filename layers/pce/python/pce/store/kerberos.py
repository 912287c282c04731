"""Who a Kerberos ticket is from, by the system's MIT library and the keytab of an org.

Where the library is not (:class:`NoKerberos`) no ticket is believed.
"""

import ctypes
import tempfile
from ctypes import byref, c_uint32, c_void_p
from functools import lru_cache
from pathlib import Path

from ven_protocol.gssapi import ACCEPT, LIBRARY, Buffer, acquire_credential, failed, in_words

_CONTINUE = 1


class NoKerberos(Exception):
    """The library is not there, or the keytab is none."""


class TicketRefused(Exception):
    """The ticket proves nothing; the text says why."""


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
    reply, name = Buffer(), Buffer()
    store = {b"keytab": keytab, b"rcache": _replays()}
    try:
        major = acquire_credential(gss, minor, ACCEPT, store, credential)
        if failed(major):
            raise NoKerberos(in_words(gss, major, minor))
        major = gss.gss_accept_sec_context(
            byref(minor), byref(context), credential, byref(Buffer.of(ticket)), None,
            byref(source), None, byref(reply), None, None, None,
        )  # fmt: skip
        if failed(major) or major & _CONTINUE:
            raise TicketRefused(in_words(gss, major, minor))
        major = gss.gss_display_name(byref(minor), source, byref(name), None)
        if failed(major):
            raise TicketRefused(in_words(gss, major, minor))
        return name.content.decode(errors="replace")
    finally:
        ignored = c_uint32()
        for buffer in (reply, name):
            gss.gss_release_buffer(byref(ignored), byref(buffer))
        gss.gss_release_name(byref(ignored), byref(source))
        gss.gss_delete_sec_context(byref(ignored), byref(context), None)
        gss.gss_release_cred(byref(ignored), byref(credential))
