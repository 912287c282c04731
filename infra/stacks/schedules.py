"""What works without being asked: the sweep by the clock, compiles and queries by their queues."""

import aws_cdk as cdk
from constructs import Construct

from infra.constructs.every_minute import EveryMinute
from infra.constructs.function_layers import FunctionLayers
from infra.constructs.pce_function import Grantable, PceFunction
from infra.deployment import Deployment
from infra.functions import Setting, spec


class SchedulesStack(cdk.Stack):
    """The sweep and the queue workers that need no WebSocket API."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        deployment: Deployment,
        grantable: Grantable,
        url: str,
    ) -> None:
        super().__init__(scope, id, description="PCE: sweep, policy compile, traffic queries")
        layers = FunctionLayers(self, "Layers", layers_for=deployment.layers)
        settings: dict[Setting, str] = {
            "PCE_URL": url,
            "PCE_HEARTBEAT_INTERVAL_S": str(deployment.heartbeat_interval_s),
        }

        def function(name: str) -> PceFunction:
            return PceFunction(
                self,
                spec(name),
                deployment_name=deployment.name,
                grantable=grantable,
                layers=layers,
                settings=settings,
            )

        compile_ = function("policy_compile")
        compile_.function.add_event_source(grantable.queues["compile"].event_source())
        query = function("traffic_query")
        query.function.add_event_source(grantable.queues["traffic_queries"].event_source())
        sweep = function("sweep")
        self.sweep_schedule = EveryMinute(self, "SweepEveryMinute", function=sweep)
        self.functions = (compile_, query, sweep)
