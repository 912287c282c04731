"""The HTTP API and every function behind it, and the one that the operator invokes."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.build_ven_package import PACKAGES, function_folder, packages, release_of
from infra.constructs.function_layers import FunctionLayers
from infra.constructs.http_api import HttpApi
from infra.constructs.pce_function import Grantable, PceFunction
from infra.constructs.public_name import PublicName
from infra.deployment import Deployment
from infra.functions import FUNCTIONS, Setting, spec

SERVES_VEN_PACKAGE = "ven_software"
OPERATOR_FUNCTION = "org_create"
READS_TICKETS = "ven_ticket"


class ApiStack(cdk.Stack):
    """``url`` is the public base URL."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        deployment: Deployment,
        grantable: Grantable,
        bolts_url: str,
    ) -> None:
        super().__init__(scope, id, description="PCE: VEN API and management API (HTTP)")
        domain = deployment.domain
        http = HttpApi(
            self,
            "Http",
            name=f"{deployment.name}-http",
            public_name=PublicName(
                self,
                "HttpName",
                host=domain.api,
                certificate_arn=domain.certificate_arn,
                hosted_zone_id=domain.hosted_zone_id,
            )
            if domain
            else None,
        )
        self.url = deployment.url or http.url
        settings: dict[Setting, str] = {
            "PCE_URL": self.url,
            "PCE_BOLTS_URL": bolts_url,
            "PCE_ARCHIVE_URL": deployment.archive_url or "",
            "PCE_HEARTBEAT_INTERVAL_S": str(deployment.heartbeat_interval_s),
            "PCE_FLOW_INTERVAL_S": str(deployment.flow_interval_s),
            "PCE_VEN_PACKAGES": PACKAGES,
            "PCE_VEN_RELEASES": ",".join(map(release_of, packages())),
        }
        layers = FunctionLayers(self, "Layers", layers_for=deployment.layers)
        specs = [spec for spec in FUNCTIONS if spec.routes] + [spec(OPERATOR_FUNCTION)]
        self.functions = tuple(
            PceFunction(
                self,
                one,
                deployment_name=deployment.name,
                grantable=grantable,
                layers=layers,
                settings=settings,
                code=function_folder() if one.name == SERVES_VEN_PACKAGE else None,
            )
            for one in specs
        )
        if deployment.kerberos_layer_arn:
            [ticket] = [one for one in self.functions if one.spec.name == READS_TICKETS]
            layer = lambda_.LayerVersion.from_layer_version_arn(
                self, "Kerberos", deployment.kerberos_layer_arn
            )
            ticket.function.add_layers(layer)
        http.add_routes(self.functions)
        self.api = http.api

        cdk.CfnOutput(self, "Url", value=self.url, description="Base URL of the PCE")
        cdk.CfnOutput(self, "HttpApiId", value=self.api.api_id)
        cdk.CfnOutput(
            self,
            "OrgCreateFunction",
            value=self.functions[-1].function.function_name,
            description="Invoke it to create an org",
        )
