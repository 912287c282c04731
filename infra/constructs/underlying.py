"""The CloudFormation resource below a construct, for the few things that constructs cannot say."""

from typing import TypeVar

import aws_cdk as cdk
from constructs import IConstruct

_Resource = TypeVar("_Resource", bound=cdk.CfnResource)


def underlying(construct: IConstruct, kind: type[_Resource]) -> _Resource:
    """The construct's main resource. Raises TypeError when that is of another kind."""
    resource = construct.node.default_child
    if not isinstance(resource, kind):
        raise TypeError(f"{construct.node.path} is a {type(resource)}, not a {kind}")
    return resource
