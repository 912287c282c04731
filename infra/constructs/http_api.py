"""The HTTP API: one route per line of ``infra/functions.py``, throttled, with short access logs."""

import json
from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.acknowledge import acknowledge
from infra.constructs.pce_function import PceFunction
from infra.constructs.public_name import PublicName
from infra.constructs.underlying import underlying

STAGE = "$default"

THROTTLE = apigateway.ThrottleSettings(rate_limit=5_000, burst_limit=2_500)
"""Requests a second for all routes together: 100,000 VENs send 500 in step; the account's 10,000
are shared with bolts, which must get through too (API Gateway, "Quotas")."""

#: Routes that anybody may call; 100,000 machines pair or reinstall in 8 and 17 minutes.
UNAUTHENTICATED_THROTTLE = {
    "POST /ven/v1/activate": (200, 200),
    "GET /api/{version}/software/ven/image": (100, 100),
    "POST /ven/v1/orgs/{org_id}/vens/{ven_id}/lost": (20, 20),
    "ANY /ven/{proxy+}": (100, 100),
}

#: 150 bytes a request: who, what, how it went; never a header, which may hold a token.
ACCESS_LOG = {
    "id": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "route": "$context.routeKey",
    "status": "$context.status",
    "ms": "$context.responseLatency",
    "error": "$context.integrationErrorMessage",
}

ACCESS_LOG_RETENTION = logs.RetentionDays.TWO_WEEKS


class HttpApi(Construct):
    """``url`` is the base URL that VENs and operators use."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        public_name: PublicName | None,
    ) -> None:
        super().__init__(scope, id)
        self.api = apigateway.HttpApi(
            self,
            "Api",
            api_name=name,
            create_default_stage=False,
            # With a name of our own, the generated one is a second door that nobody watches.
            disable_execute_api_endpoint=public_name is not None,
        )
        # Log groups under /aws/vendedlogs/ need no entry in the account's one resource policy.
        access_log = f"/aws/vendedlogs/{name}"
        log_group = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=access_log,
            retention=ACCESS_LOG_RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.stage = apigateway.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name=STAGE,
            auto_deploy=True,
            throttle=THROTTLE,
            domain_mapping=public_name.mapping if public_name else None,
        )
        stage = underlying(self.stage, apigateway.CfnStage)
        stage.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            # The group's own ARN attribute ends in ":*", which this property does not want.
            destination_arn=cdk.Stack.of(self).format_arn(
                service="logs",
                resource="log-group",
                resource_name=access_log,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            ),
            format=json.dumps(ACCESS_LOG, separators=(",", ":")),
        )
        stage.node.add_dependency(log_group)
        stage.route_settings = {
            route: {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst}
            for route, (rate, burst) in UNAUTHENTICATED_THROTTLE.items()
        }
        self.stage_resource = stage
        self.url = f"https://{public_name.host}" if public_name else self.api.api_endpoint

    def add_routes(self, functions: Iterable[PceFunction]) -> None:
        """Let each function answer its routes."""
        for function in functions:
            integration = integrations.HttpLambdaIntegration(function.node.id, function.function)
            for route in function.spec.routes:
                method, path = route.split(" ")
                added = self.api.add_routes(
                    path=path, methods=[apigateway.HttpMethod(method)], integration=integration
                )
                for one in added:
                    # A stage must not name a route's throttle before there is that route.
                    if route in UNAUTHENTICATED_THROTTLE:
                        self.stage_resource.node.add_dependency(one)
                    acknowledge(
                        one,
                        "AwsSolutions-APIG4",
                        "VENs and API keys are authenticated by the function, in the one request"
                        " that reads or writes their record: revocation is immediate, and an"
                        " authorizer would add 17 % to the bill.",
                    )
