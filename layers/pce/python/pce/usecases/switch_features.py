"""Read and switch the optional features of an org."""

from typing import Any

from pce.errors import Invalid
from pce.objects.optional_feature import feature_problems, switched
from pce.objects.settings import OPTIONAL_FEATURES
from pce.usecases.caller import Caller
from pce.usecases.change_settings import change_settings, read_settings
from pce.usecases.stores import Stores


def read_features(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """Every feature that there is. One read."""
    return switched(read_settings(caller, OPTIONAL_FEATURES, stores)["features"])


def switch_features(caller: Caller, body: Any, stores: Stores) -> None:
    """Switch the features in a list. Raises :class:`Invalid` for one that is not there."""
    said = OPTIONAL_FEATURES.shape.clean({"features": body})["features"]
    if problems := list(feature_problems(said)):
        raise Invalid(problems)
    before = read_features(caller, stores)
    features = switched(before, said)
    if features != before:
        change_settings(caller, OPTIONAL_FEATURES, {"features": features}, stores)
