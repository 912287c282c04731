"""What the operator may say with `cdk -c name=value`; everything has a default."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from constructs import Node  # starts a node process; the build scripts have no use for it

LayersFor = Literal["lambda", "local"]


class ContextError(ValueError):
    """A context value is wrong, or one that it needs is missing; the message says what to do."""


@dataclass(frozen=True, slots=True)
class CustomDomain:
    """Two host names on port 443: API Gateway refuses to serve both API types under one."""

    api: str
    bolts: str
    certificate_arn: str
    """An ACM certificate of this region that covers both names."""
    hosted_zone_id: str | None
    """The Route 53 zone that gets the two alias records; without it the operator makes them."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of the product."""

    name: str
    """Prefix of stack and function names: two deployments may share an account and a region."""
    domain: CustomDomain | None
    alarm_email: str | None
    heartbeat_interval_s: int
    flow_interval_s: int
    layers: LayersFor
    """``local`` builds for this machine: the emulator runs functions with its own interpreter."""
    url: str | None
    """Public base URL, when it is neither the custom domain nor API Gateway's (an emulator)."""
    bolts_url: str | None
    bolts_management_base: str | None
    """An emulator's address of all WebSocket APIs; ``/<api id>/<stage>`` is appended."""
    kerberos_layer_arn: str | None
    """A layer with MIT's Kerberos library for the one function that needs it."""
    archive_url: str | None
    """Where clients reach the bucket's presigned URLs, when that is not S3 itself."""


def read(node: Node) -> Deployment:
    """The deployment that the context of ``node`` (the app's) describes.

    Raises :class:`ContextError` when a value has another form than it needs.
    """

    def text(name: str) -> str | None:
        value = node.try_get_context(name)
        return str(value) if value not in (None, "") else None

    def seconds(name: str, default: int) -> int:
        value = text(name) or str(default)
        if not value.isdecimal() or not 1 <= int(value) <= 86_400:
            raise ContextError(f"-c {name}={value}: give whole seconds from 1 to 86400")
        return int(value)

    layers = text("layers") or "lambda"
    if layers not in ("lambda", "local"):
        raise ContextError(f"-c layers={layers}: say `lambda` (the default) or `local`")
    name = text("name") or "pce"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ContextError(
            f"-c name={name}: it begins stack and function names; give 1 to 20 lower-case letters,"
            " digits and hyphens, a letter first"
        )
    domain = _domain(
        text("domain"), text("bolts_domain"), text("certificate_arn"), text("hosted_zone_id")
    )
    return Deployment(
        name=name,
        domain=domain,
        alarm_email=text("alarm_email"),
        heartbeat_interval_s=seconds("heartbeat_interval_s", 300),
        flow_interval_s=seconds("flow_interval_s", 600),
        layers="local" if layers == "local" else "lambda",
        url=text("url"),
        bolts_url=text("bolts_url"),
        bolts_management_base=text("bolts_management_base"),
        kerberos_layer_arn=text("kerberos_layer_arn"),
        archive_url=text("archive_url"),
    )


def _domain(
    api: str | None, bolts: str | None, certificate_arn: str | None, hosted_zone_id: str | None
) -> CustomDomain | None:
    if not (api or bolts or certificate_arn or hosted_zone_id):
        return None
    if not (api and bolts and certificate_arn):
        raise ContextError(
            "a custom domain needs three values: -c domain=pce.example.com"
            " -c bolts_domain=bolts.example.com -c certificate_arn=arn:aws:acm:..."
            " (and -c hosted_zone_id=Z... to have the DNS records made)"
        )
    if api == bolts:
        raise ContextError(
            f"-c domain and -c bolts_domain are both {api}; API Gateway needs two host names,"
            " one for HTTP and one for WebSocket"
        )
    return CustomDomain(api, bolts, certificate_arn, hosted_zone_id)
