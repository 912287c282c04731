"""What every org begins with: factory objects that clients look for by name."""

from typing import Any

from pce.objects.firewall_settings import FIREWALL_SETTINGS
from pce.objects.ip_list import ANY_NAME, IP_LISTS
from pce.objects.label_dimension import FACTORY as FACTORY_DIMENSIONS
from pce.objects.label_dimension import LABEL_DIMENSIONS
from pce.objects.pairing_profile import PAIRING_PROFILES
from pce.objects.service import ALL_NAME, SERVICES

DEFAULT_PROFILE_NAME = "Default"


def factory_drafts() -> dict[str, dict[str, Any]]:
    """Collection to the one factory object of it; provisioned with the org's first version."""
    return {
        "ip_lists": IP_LISTS.new_document(
            {"name": ANY_NAME, "ip_ranges": [{"from_ip": "0.0.0.0/0"}, {"from_ip": "::/0"}]}
        ),
        "services": SERVICES.new_document({"name": ALL_NAME, "service_ports": [{"proto": -1}]}),
        "firewall_settings": FIREWALL_SETTINGS.new_document({}),
    }


def factory_dimensions() -> list[dict[str, Any]]:
    """The label dimensions role, app, env and loc."""
    return [
        LABEL_DIMENSIONS.new_document(
            {"key": key, "display_name": display_name, "display_info": {"initial": display_name[0]}}
        )
        for key, display_name in FACTORY_DIMENSIONS
    ]


def default_pairing_profile() -> dict[str, Any]:
    """The pairing profile that an org's first VENs use. Its labels may be chosen when pairing."""
    profile = PAIRING_PROFILES.new_document(
        {
            "name": DEFAULT_PROFILE_NAME,
            "enabled": True,
            "enforcement_mode_lock": False,
            "visibility_level_lock": False,
            "role_label_lock": False,
            "app_label_lock": False,
            "env_label_lock": False,
            "loc_label_lock": False,
        }
    )
    return {**profile, "is_default": True}
