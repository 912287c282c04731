"""Settings of logging in: how long a session may idle, and what passwords must be like."""

from pce.access.passwords import POLICY
from pce.objects.fields import Flag, Integer, Shape
from pce.objects.settings import Settings

AUTHENTICATION_SETTINGS = Settings(
    name="authentication",
    path="/authentication_settings",
    shape=Shape({"session_timeout_minutes": Integer(3, 60)}),
    # Ten minutes is what clients of the API are told, and keep to.
    defaults={"session_timeout_minutes": 10},
    event_type="authentication_settings.update",
)

PASSWORD_POLICY = Settings(
    name="password_policy",
    path="/authentication_settings/password_policy",
    shape=Shape(
        {
            "min_length": Integer(8, 64),
            "require_type_uppercase": Flag(),
            "require_type_lowercase": Flag(),
            "require_type_number": Flag(),
            "require_type_symbol": Flag(),
            "history_count": Integer(0, 10),
            "expire_time_days": Integer(0, 3650),
        }
    ),
    defaults=POLICY,
    event_type="password_policy.update",
)
