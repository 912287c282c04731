"""The place of single sign-on, which is not there yet."""

from pce.errors import Invalid, Problem
from pce.runtime.api_call import Call
from pce.runtime.http import Reply


def refuse_config(call: Call) -> Reply:
    """POST ldap_configs, saml_configs: always refused, since nobody could log in by it. A
    configuration that is kept and does nothing would look like protection."""
    message = (
        "this PCE has no log-in by LDAP or SAML yet, so a configuration would do nothing; people"
        " log in with passwords of this PCE, scripts use API keys"
    )
    raise Invalid(Problem("single_sign_on_not_available", message))
