"""The WebSocket API that bolts travel over: VENs connect, the fan-out posts."""

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.acknowledge import acknowledge
from infra.constructs.pce_function import PceFunction
from infra.constructs.public_name import PublicName
from infra.constructs.underlying import underlying

STAGE = "bolts"

THROTTLE = apigateway.ThrottleSettings(rate_limit=1_000, burst_limit=500)
"""Connects and keep-alives a second: API Gateway takes 500 connects a second, and 100,000 VENs
send 185 keep-alives a second."""


class BoltsApi(Construct):
    """``url`` is where VENs connect; ``management_url`` is where the fan-out posts."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        connect: PceFunction,
        message: PceFunction,
        public_name: PublicName | None,
    ) -> None:
        super().__init__(scope, id)
        self.api = apigateway.WebSocketApi(
            self,
            "Api",
            api_name=name,
            # Nothing in a message chooses a route: all of them go to $default.
            route_selection_expression="$request.body.action",
        )
        routes = []
        # No $disconnect: it is best effort, and a connection that drops changes nothing. A post to
        # it answers "gone", and then it is forgotten.
        for route, function in (("$connect", connect), ("$default", message)):
            added = self.api.add_route(
                route,
                integration=integrations.WebSocketLambdaIntegration(
                    function.node.id, function.function
                ),
            )
            routes.append(added)
            acknowledge(
                added,
                "AwsSolutions-APIG4",
                "$connect authenticates in the one write that also notes the connection; the other"
                " route exists only on connections that were let in.",
            )
        self.stage = apigateway.WebSocketStage(
            self,
            "Stage",
            web_socket_api=self.api,
            stage_name=STAGE,
            auto_deploy=True,
            throttle=THROTTLE,
            domain_mapping=public_name.mapping if public_name else None,
        )
        self.stage.node.add_dependency(*routes)  # so that the first deployment has them
        acknowledge(
            self.stage,
            "AwsSolutions-APIG1",
            "Access logs of a WebSocket API need a role for the whole account and region, which may"
            " be somebody else's; each connect is noted in the VEN's presence row instead.",
        )
        # The custom name maps to the stage; API Gateway's own has the stage in its path.
        self.url = f"wss://{public_name.host}" if public_name else self.stage.url
        self.management_url = self.stage.callback_url

    def allow_posts(self, function: PceFunction) -> None:
        """Let a function post to the connections of this stage; not close or inspect them."""
        stack = cdk.Stack.of(self)
        path = f"{STAGE}/POST/@connections/*"
        resource = stack.format_arn(
            service="execute-api", resource=self.api.api_id, resource_name=path
        )
        function.role.add_to_policy(
            iam.PolicyStatement(actions=["execute-api:ManageConnections"], resources=[resource])
        )
        api = underlying(self.api, apigateway.CfnApi)
        acknowledge(
            function.role,
            "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:execute-api:<AWS::Region>:"
            f"<AWS::AccountId>:<{stack.get_logical_id(api)}>/{path}]",
            "Connections come and go; their ids are made by API Gateway.",
        )
