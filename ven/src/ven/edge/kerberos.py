"""A Kerberos ticket for the PCE, from the host's own keytab, by the system's MIT library.

A host that is joined to a realm has the library, and a keytab (``/etc/krb5.keytab``, or what
``KRB5_CLIENT_KTNAME`` names).
"""

import ctypes
import os
import secrets
from ctypes import byref, c_uint32, c_void_p

from ven_protocol.gssapi import (
    HOSTBASED_SERVICE,
    INITIATE,
    KERBEROS,
    LIBRARY,
    Buffer,
    acquire_credential,
    failed,
    in_words,
)

KEYTAB = "/etc/krb5.keytab"

_MUTUAL = 0  # the PCE has proved who it is by TLS


class NoTicket(Exception):
    """Kerberos gave no ticket; the text says why."""


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
    token = Buffer()
    target = f"HTTP@{host}".encode()
    service = Buffer.of(target)
    keytab = os.environ.get("KRB5_CLIENT_KTNAME") or KEYTAB
    # Of its own each time: a ticket in a former one may be for a key that the PCE has no more.
    cache = f"MEMORY:ven-{secrets.token_hex(8)}"
    store = {b"client_keytab": keytab, b"ccache": cache}
    try:
        _check(gss, minor, gss.gss_import_name(byref(minor), byref(service),
                                               byref(HOSTBASED_SERVICE), byref(name)))  # fmt: skip
        _check(gss, minor, acquire_credential(gss, minor, INITIATE, store, credential))
        _check(gss, minor, gss.gss_init_sec_context(
            byref(minor), credential, byref(context), name, byref(KERBEROS), _MUTUAL, 0, None,
            None, None, byref(token), None, None,
        ))  # fmt: skip
        return token.content
    finally:
        gss.gss_release_buffer(byref(minor), byref(token))
        gss.gss_delete_sec_context(byref(minor), byref(context), None)
        gss.gss_release_cred(byref(minor), byref(credential))
        gss.gss_release_name(byref(minor), byref(name))


def _check(gss: ctypes.CDLL, minor: c_uint32, major: int) -> None:
    if failed(major):
        raise NoTicket(in_words(gss, major, minor))
