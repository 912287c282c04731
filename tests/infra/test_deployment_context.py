"""What an operator may say with `-c`, and what happens when it is wrong."""

from typing import Any

import pytest
from constructs import Node

from infra.deployment import ContextError, read
from tests.infra.assembly import Assembly, synthesize

KERBEROS = "arn:aws:lambda:eu-central-1:111122223333:layer:krb5:1"
CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/0f0f0f0f"


class Context:
    """The context of a construct tree, without the tree (and its node process)."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def try_get_context(self, name: str) -> Any:
        return self._values.get(name)


def context(**values: Any) -> Node:
    return Context(**values)  # type: ignore[return-value]


def test_nothing_needs_to_be_said() -> None:
    """An account and a region are enough."""
    deployment = read(context())
    assert (deployment.name, deployment.domain, deployment.layers) == ("pce", None, "lambda")
    assert deployment.heartbeat_interval_s == 300


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"domain": "pce.example.com"}, "three values"),
        ({"certificate_arn": CERTIFICATE}, "three values"),
        (
            {"domain": "a.b", "bolts_domain": "a.b", "certificate_arn": CERTIFICATE},
            "two host names",
        ),
        ({"name": "Acme Ltd."}, "lower-case letters"),
        ({"layers": "windows"}, "`lambda`"),
        ({"heartbeat_interval_s": "soon"}, "whole seconds"),
        ({"flow_interval_s": "0"}, "whole seconds"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(values: dict[str, str], complaint: str) -> None:
    """Before anything is built or deployed."""
    with pytest.raises(ContextError, match=complaint):
        read(context(**values))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """A deployment under host names of its own."""
    return synthesize(
        tmp_path_factory.mktemp("named"),
        name="acme",
        domain="pce.example.com",
        bolts_domain="bolts.example.com",
        certificate_arn=CERTIFICATE,
        hosted_zone_id="Z0123456789ABCDEFGHIJ",
        alarm_email="ops@example.com",
        kerberos_layer_arn=KERBEROS,
    )


def test_both_apis_get_their_names(named: Assembly) -> None:
    """Two host names with TLS 1.2, a record for each, and no second door to the HTTP API."""
    domains = named.resources("AWS::ApiGatewayV2::DomainName").values()
    assert {d["DomainName"] for d in domains} == {"pce.example.com", "bolts.example.com"}
    for domain in domains:
        (configuration,) = domain["DomainNameConfigurations"]
        assert configuration["SecurityPolicy"] == "TLS_1_2"
        assert configuration["CertificateArn"] == CERTIFICATE
    records = named.resources("AWS::Route53::RecordSet").values()
    assert {r["Name"] for r in records} == {"pce.example.com.", "bolts.example.com."}
    (http,) = named.resources("AWS::ApiGatewayV2::Api", "acme-api").values()
    assert http["DisableExecuteApiEndpoint"] is True


def test_one_function_gets_the_kerberos_library(named: Assembly) -> None:
    """And reads keytabs; nobody else has either."""
    functions = named.resources("AWS::Lambda::Function")
    assert [n for n, f in functions.items() if KERBEROS in f["Layers"]] == ["VenTicket"]


def test_vens_are_told_the_names(named: Assembly) -> None:
    """The URLs that VENs and events see are the operator's own."""
    functions = named.resources("AWS::Lambda::Function")
    variables = functions["VenActivate"]["Environment"]["Variables"]
    assert variables["PCE_URL"] == "https://pce.example.com"
    assert variables["PCE_BOLTS_URL"] == "wss://bolts.example.com"


def test_a_name_keeps_two_deployments_apart(named: Assembly) -> None:
    """Stacks, functions and alarms carry it."""
    assert all(stack.startswith("acme-") for stack in named.templates)
    for kind, attribute in (
        ("AWS::Lambda::Function", "FunctionName"),
        ("AWS::CloudWatch::Alarm", "AlarmName"),
        ("AWS::ApiGatewayV2::Api", "Name"),
    ):
        named_resources = named.resources(kind).values()
        assert all(one[attribute].startswith("acme-") for one in named_resources), kind


def test_alarms_reach_a_person(named: Assembly) -> None:
    """By mail, when an address was given."""
    (subscription,) = named.resources("AWS::SNS::Subscription").values()
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")
