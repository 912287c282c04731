"""A host name of the operator's own for one API, on port 443."""

from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct


class PublicName(Construct):
    """Serves one API under ``host``; makes the DNS record when the hosted zone is given."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        host: str,
        certificate_arn: str,
        hosted_zone_id: str | None,
    ) -> None:
        super().__init__(scope, id)
        self.host = host
        self.domain = apigateway.DomainName(
            self,
            "Domain",
            domain_name=host,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", certificate_arn),
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )
        if hosted_zone_id is not None:
            route53.ARecord(
                self,
                "Record",
                zone=route53.HostedZone.from_hosted_zone_id(self, "Zone", hosted_zone_id),
                # The dot makes it a full name: the zone's own name is not known here.
                record_name=f"{host}.",
                target=route53.RecordTarget.from_alias(
                    targets.ApiGatewayv2DomainProperties(
                        self.domain.regional_domain_name, self.domain.regional_hosted_zone_id
                    )
                ),
            )

    @property
    def mapping(self) -> apigateway.DomainMappingOptions:
        """Maps the whole name to a stage."""
        return apigateway.DomainMappingOptions(domain_name=self.domain)
