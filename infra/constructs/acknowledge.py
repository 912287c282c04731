"""Exceptions from the AwsSolutions rules of cdk-nag: each next to its resource, with its reason."""

import aws_cdk as cdk
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding on this construct, for example ``AwsSolutions-SQS3`` or, where a rule has
    findings of its own, ``AwsSolutions-IAM5[Resource::arn:...]``."""
    # Positional: the binding takes no keywords here.
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))
