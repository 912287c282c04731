"""The CDK app: five stacks, each using only those before it. `cdk.json` runs it."""

import aws_cdk as cdk
import cdk_nag

from infra import deployment
from infra.stacks.api import ApiStack
from infra.stacks.bolts import BoltsStack
from infra.stacks.data import DataStack
from infra.stacks.observability import ObservabilityStack
from infra.stacks.schedules import SchedulesStack

#: cfn-lint's W3005: the Function construct says that it depends on its role, which its property
#: says too. Superfluous, and not ours to leave out.
ACCEPTED = ["W3005"]


def build(app: cdk.App) -> None:
    """Put the stacks of one deployment into the app; its context says which deployment."""
    wanted = deployment.read(app.node)
    name = wanted.name
    data = DataStack(app, f"{name}-data")
    bolts = BoltsStack(app, f"{name}-bolts", deployment=wanted, grantable=data.grantable)
    api = ApiStack(
        app,
        f"{name}-api",
        deployment=wanted,
        grantable=data.grantable,
        bolts_url=bolts.url,
    )
    schedules = SchedulesStack(
        app,
        f"{name}-schedules",
        deployment=wanted,
        grantable=data.grantable,
        records=data.records,
        records_arn_export=data.records_arn_export,
        url=api.url,
    )
    observability = ObservabilityStack(
        app,
        f"{name}-observability",
        deployment=wanted,
        grantable=data.grantable,
        http_api=api.api,
        bolts_api=bolts.api,
        sweep_dead_letters=schedules.sweep_schedule.dead_letters,
    )
    for stack in (data, bolts, api, schedules, observability):
        stack.template_options.metadata = {"cfn-lint": {"config": {"ignore_checks": ACCEPTED}}}
    # Unacknowledged findings make the synthesis fail.
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))


if __name__ == "__main__":
    cdk_app = cdk.App()
    build(cdk_app)
    cdk_app.synth()
