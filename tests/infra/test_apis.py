"""Routes, throttles and logs of the two APIs."""

import json
from typing import Any

from infra.functions import FUNCTIONS
from pce_local.routes import BOLT_ROUTES, HTTP_ROUTES, QUEUE_TRIGGERS
from tests.infra.assembly import Assembly


def routes(assembly: Assembly, stack: str) -> dict[str, str]:
    """Route key -> name of the function that answers."""
    integrations = assembly.resources("AWS::ApiGatewayV2::Integration", stack)
    lambdas = {
        id: properties["FunctionName"].removeprefix("pce-")
        for id, properties in assembly.resources("AWS::Lambda::Function", stack).items()
    }

    def function(route: dict[str, Any]) -> str:
        integration = integrations[route["Target"]["Fn::Join"][1][1]["Ref"]]
        assert integration["IntegrationType"] == "AWS_PROXY"
        return lambdas[_function_of(integration["IntegrationUri"])]

    return {
        route["RouteKey"]: function(route)
        for route in assembly.resources("AWS::ApiGatewayV2::Route", stack).values()
    }


def _function_of(uri: Any) -> str:
    if "Fn::GetAtt" in uri:
        return str(uri["Fn::GetAtt"][0])
    (named,) = (part for part in uri["Fn::Join"][1] if "Fn::GetAtt" in part)
    return str(named["Fn::GetAtt"][0])


def test_http_routes_are_those_of_the_page_and_of_the_local_host(assembly: Assembly) -> None:
    """One table of routes, however it is served."""
    deployed = routes(assembly, "pce-api")
    assert deployed == {route: spec.name for spec in FUNCTIONS for route in spec.routes}
    assert deployed == {route.key: route.function for route in HTTP_ROUTES}


def test_bolt_routes_are_those_of_the_local_host(assembly: Assembly) -> None:
    """Connect, and everything else."""
    assert routes(assembly, "pce-bolts") == BOLT_ROUTES


def test_queue_workers_are_those_of_the_local_host() -> None:
    """The same functions take the same number of messages at once."""
    local = {(t.queue.removesuffix(".fifo"), t.function, t.batch_size) for t in QUEUE_TRIGGERS}
    assert {(s.queue, s.name, s.batch_size) for s in FUNCTIONS if s.queue} == local


def test_events_have_the_format_that_handlers_read(assembly: Assembly) -> None:
    """Payload format 2.0, on the stage whose name is in no path."""
    for integration in assembly.resources("AWS::ApiGatewayV2::Integration", "pce-api").values():
        assert integration["PayloadFormatVersion"] == "2.0"
    (stage,) = assembly.resources("AWS::ApiGatewayV2::Stage", "pce-api").values()
    assert stage["StageName"] == "$default"


def test_both_apis_are_throttled(assembly: Assembly) -> None:
    """The account's 10,000 requests a second are shared: neither API may take all of them."""
    for stage in assembly.resources("AWS::ApiGatewayV2::Stage").values():
        limits = stage["DefaultRouteSettings"]
        assert 0 < limits["ThrottlingBurstLimit"] <= limits["ThrottlingRateLimit"] <= 5_000


def test_routes_open_to_anybody_are_throttled_harder(assembly: Assembly) -> None:
    """Whoever guesses codes or downloads in a loop does not use up what paired VENs need."""
    (stage,) = assembly.resources("AWS::ApiGatewayV2::Stage", "pce-api").values()
    limited = stage["RouteSettings"]
    for route in (
        "POST /ven/v1/activate",
        "POST /ven/v1/orgs/{org_id}/vens/{ven_id}/lost",
        "GET /api/{version}/software/ven/image",
    ):
        assert limited[route]["ThrottlingRateLimit"] <= 200
    assert set(limited) <= set(routes(assembly, "pce-api"))


def test_access_logs_are_short_and_hold_no_secret(assembly: Assembly) -> None:
    """One line a request for two weeks; no header and no query, where tokens could be."""
    (stage,) = assembly.resources("AWS::ApiGatewayV2::Stage", "pce-api").values()
    logged = set(json.loads(stage["AccessLogSettings"]["Format"]).values())
    assert logged <= {
        "$context.requestId",
        "$context.identity.sourceIp",
        "$context.routeKey",
        "$context.status",
        "$context.responseLatency",
        "$context.integrationErrorMessage",
    }
    groups = assembly.resources("AWS::Logs::LogGroup", "pce-api").values()
    (group,) = (g for g in groups if g["LogGroupName"] == "/aws/vendedlogs/pce-http")
    assert group["RetentionInDays"] == 14


def test_only_api_gateway_may_call_the_functions_behind_it(assembly: Assembly) -> None:
    """Each permission names one API and one route: no other API of the account gets in."""
    permissions = assembly.resources("AWS::Lambda::Permission").values()
    assert len(permissions) == len(HTTP_ROUTES) + len(BOLT_ROUTES)
    for permission in permissions:
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert any("Ref" in part for part in permission["SourceArn"]["Fn::Join"][1])
