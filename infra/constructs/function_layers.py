"""The layers that every function has: third-party packages, the product, the wire."""

from aws_cdk import IgnoreMode
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.build_layers import ROOT, build
from infra.deployment import LayersFor

RUNTIME = lambda_.Runtime.PYTHON_3_14
ARCHITECTURE = lambda_.Architecture.ARM_64
NOT_SHIPPED = ["**/__pycache__", "**/.*"]
"""Compiled files and the caches of tools."""


class FunctionLayers(Construct):
    """One per stack: a layer's ARN changes with its content, and CloudFormation refuses to change
    a value that another stack imports. The content is uploaded once all the same."""

    def __init__(self, scope: Construct, id: str, *, layers_for: LayersFor) -> None:
        super().__init__(scope, id)
        folders = {
            "Dependencies": build(layers_for),
            "Pce": ROOT / "layers" / "pce",
            "VenProtocol": ROOT / "layers" / "ven_protocol",
        }
        self.versions: list[lambda_.ILayerVersion] = [
            lambda_.LayerVersion(
                self,
                name,
                code=lambda_.Code.from_asset(
                    str(folder), exclude=NOT_SHIPPED, ignore_mode=IgnoreMode.GLOB
                ),
                compatible_runtimes=[RUNTIME],
                compatible_architectures=[ARCHITECTURE],
            )
            for name, folder in folders.items()
        ]
