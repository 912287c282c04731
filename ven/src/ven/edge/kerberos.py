"""A Kerberos ticket for the PCE, from the host's own keytab, by the system's MIT library.

Debian: ``libgssapi-krb5-2``; RHEL: ``krb5-libs``. A host that is joined to a realm has it, and a
keytab (``/etc/krb5.keytab``, or what ``KRB5_CLIENT_KTNAME`` names). The library is called through
``ctypes``: Python packages for it are compiled on the host, which has no compiler.

Source of the calls: RFC 2744; credential stores are MIT's (``gss_acquire_cred_from``).
"""

import ctypes
import os
import secrets
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint32, c_void_p

LIBRARY = "libgssapi_krb5.so.2"
KEYTAB = "/etc/krb5.keytab"

_INITIATE = 1
_INDEFINITE = 0xFFFFFFFF
_COMPLETE, _CONTINUE = 0, 1
_MUTUAL = 0  # the PCE has proved who it is by TLS
_GSS_CODE, _MECHANISM_CODE = 1, 2


class NoTicket(Exception):
    """Kerberos gave no ticket; the text says why."""


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


_HOSTBASED_SERVICE = _Oid(10, bytes.fromhex("2a864886f71201020104"))
_KERBEROS = _Oid(9, bytes.fromhex("2a864886f712010202"))


def ticket_for(host: str) -> bytes:
    """A GSSAPI token that proves to ``HTTP@host`` who this host is. Asks the KDC; may take seconds.

    Raises :class:`NoTicket`.
    """
    try:
        gss = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise NoTicket(f"Kerberos is not installed on this host ({error})") from error
    minor = c_uint32()
    name, credential, context = c_void_p(), c_void_p(), c_void_p()
    token = _Buffer()
    target = f"HTTP@{host}".encode()
    service = _Buffer.of(target)
    keytab = os.environ.get("KRB5_CLIENT_KTNAME") or KEYTAB
    # Of its own each time: a ticket in a former one may be for a key that the PCE has no more.
    cache = f"MEMORY:ven-{secrets.token_hex(8)}"
    pairs = (_KeyValue * 2)(
        _KeyValue(b"client_keytab", keytab.encode()), _KeyValue(b"ccache", cache.encode())
    )
    try:
        _check(gss, minor, gss.gss_import_name(byref(minor), byref(service),
                                               byref(_HOSTBASED_SERVICE), byref(name)))  # fmt: skip
        _check(gss, minor, gss.gss_acquire_cred_from(
            byref(minor), None, _INDEFINITE, byref(_OidSet(1, ctypes.pointer(_KERBEROS))),
            _INITIATE, byref(_Store(2, pairs)), byref(credential), None, None,
        ))  # fmt: skip
        _check(gss, minor, gss.gss_init_sec_context(
            byref(minor), credential, byref(context), name, byref(_KERBEROS), _MUTUAL, 0, None,
            None, None, byref(token), None, None,
        ))  # fmt: skip
        return token.content
    finally:
        gss.gss_release_buffer(byref(minor), byref(token))
        gss.gss_delete_sec_context(byref(minor), byref(context), None)
        gss.gss_release_cred(byref(minor), byref(credential))
        gss.gss_release_name(byref(minor), byref(name))


def _check(gss: ctypes.CDLL, minor: c_uint32, major: int) -> None:
    if major & 0xFFFF0000:  # the calling and routine errors; the rest is information
        raise NoTicket("; ".join(_status(gss, major, _GSS_CODE) + _minor(gss, minor)))


def _minor(gss: ctypes.CDLL, minor: c_uint32) -> list[str]:
    return _status(gss, minor.value, _MECHANISM_CODE)


def _status(gss: ctypes.CDLL, code: int, kind: int) -> list[str]:
    more, ignored, text = c_uint32(0), c_uint32(), _Buffer()
    said = []
    while True:
        gss.gss_display_status(byref(ignored), c_uint32(code), kind, byref(_KERBEROS),
                               byref(more), byref(text))  # fmt: skip
        said.append(text.content.decode(errors="replace"))
        gss.gss_release_buffer(byref(ignored), byref(text))
        if not more.value:
            return said
