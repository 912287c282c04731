"""A function that runs once a minute, and nothing that piles up when it does not."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.acknowledge import acknowledge
from infra.constructs.pce_function import PceFunction, construct_id
from infra.constructs.work_queue import DEAD_LETTERS_KEPT

ONE_MINUTE = cdk.Duration.minutes(1)


class EveryMinute(Construct):
    """A run that failed or came late is worth nothing, since the next one does the same work: it
    is not tried again, it is left in ``dead_letters`` for the alarm. (The Scheduler's defaults are
    185 tries in 24 hours, Lambda's three in six.)"""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: PceFunction,
        dead_letters: sqs.IQueue | None = None,
    ) -> None:
        """``dead_letters`` of another one, to share its queue and alarm."""
        super().__init__(scope, id)
        self.dead_letters = dead_letters or self._new_dead_letters()
        function.function.configure_async_invoke(
            retry_attempts=0,
            max_event_age=ONE_MINUTE,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::<{construct_id(function.spec.name)}.Arn>:*]",
            "The versions of one function; the schedule's construct grants both forms of its ARN.",
        )
        self.schedule = scheduler.Schedule(
            self,
            "Schedule",
            schedule=scheduler.ScheduleExpression.rate(ONE_MINUTE),
            description=f"{function.spec.name}: {function.spec.does}",
            target=targets.LambdaInvoke(
                function.function,
                retry_attempts=0,
                max_event_age=ONE_MINUTE,
                dead_letter_queue=self.dead_letters,
                role=role,
            ),
        )

    def _new_dead_letters(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "DeadLetters",
            retention_period=DEAD_LETTERS_KEPT,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )
        acknowledge(queue, "AwsSolutions-SQS3", "It is a dead-letter queue itself.")
        return queue
