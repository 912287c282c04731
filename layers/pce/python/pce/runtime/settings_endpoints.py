"""What the endpoints of an org's settings do."""

from pce.objects.settings import Settings
from pce.runtime.api_call import Call, Endpoint, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases.change_settings import change_settings, read_settings
from pce.usecases.set_keytab import read_kerberos, set_keytab
from pce.usecases.switch_features import read_features, switch_features


def get_settings(settings: Settings) -> Endpoint:
    """GET a page of settings."""
    return lambda call: ok(read_settings(call.caller, settings, call.stores))


def put_settings(settings: Settings) -> Endpoint:
    """PUT a page of settings."""

    def endpoint(call: Call) -> Reply:
        change_settings(call.caller, settings, call.body, call.stores)
        return no_content()

    return endpoint


def get_kerberos(call: Call) -> Reply:
    """GET settings/kerberos."""
    return ok(read_kerberos(call.caller, call.stores))


def put_kerberos(call: Call) -> Reply:
    """PUT settings/kerberos."""
    set_keytab(call.caller, call.body, call.stores)
    return no_content()


def get_optional_features(call: Call) -> Reply:
    """GET optional_features: a list."""
    return whole(call, read_features(call.caller, call.stores))


def put_optional_features(call: Call) -> Reply:
    """PUT optional_features: a list of those to switch."""
    switch_features(call.caller, call.body, call.stores)
    return no_content()
