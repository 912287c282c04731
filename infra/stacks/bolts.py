"""The WebSocket API and the functions behind it."""

import aws_cdk as cdk
from constructs import Construct

from infra.constructs.bolts_api import STAGE, BoltsApi
from infra.constructs.function_layers import FunctionLayers
from infra.constructs.pce_function import Grantable, PceFunction
from infra.constructs.public_name import PublicName
from infra.deployment import Deployment
from infra.functions import Setting, spec


class BoltsStack(cdk.Stack):
    """``url`` goes to VENs at activation."""

    def __init__(
        self, scope: Construct, id: str, *, deployment: Deployment, grantable: Grantable
    ) -> None:
        super().__init__(scope, id, description="PCE: bolts (WebSocket API)")
        layers = FunctionLayers(self, "Layers", layers_for=deployment.layers)

        def function(name: str, settings: dict[Setting, str]) -> PceFunction:
            return PceFunction(
                self,
                spec(name),
                deployment_name=deployment.name,
                grantable=grantable,
                layers=layers,
                settings=settings,
            )

        connect = function("bolts_connect", {})
        message = function("bolts_message", {})
        domain = deployment.domain
        api = BoltsApi(
            self,
            "Bolts",
            name=f"{deployment.name}-bolts",
            connect=connect,
            message=message,
            public_name=PublicName(
                self,
                "BoltsName",
                host=domain.bolts,
                certificate_arn=domain.certificate_arn,
                hosted_zone_id=domain.hosted_zone_id,
            )
            if domain
            else None,
        )
        management_url = api.management_url
        if deployment.bolts_management_base:
            management_url = f"{deployment.bolts_management_base}/{api.api.api_id}/{STAGE}"
        fan_out = function("bolts_fan_out", {"PCE_BOLTS_MANAGEMENT_URL": management_url})
        api.allow_posts(fan_out)
        fan_out.function.add_event_source(grantable.queues["bolts"].event_source())

        self.functions = (connect, message, fan_out)
        self.api = api.api
        self.url = deployment.bolts_url or api.url
        cdk.CfnOutput(self, "BoltsUrl", value=self.url, description="Where VENs connect")
        cdk.CfnOutput(self, "BoltsApiId", value=self.api.api_id)
