"""A queue of work and the dead-letter queue behind it."""

import aws_cdk as cdk
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.acknowledge import acknowledge
from infra.functions import FunctionSpec

MAX_RECEIVES = 5
"""Tries before a message is set aside: enough to outlive a deployment or a throttled minute."""

VISIBILITY_PER_TIMEOUT = 6
"""AWS asks for six times the function's time-out, so that no message is handled twice at once."""

DEAD_LETTERS_KEPT = cdk.Duration.days(14)
"""As long as SQS can: time for a person to look."""

MAX_CONCURRENCY = 10
"""Most invocations side by side: the queues must not take the concurrency of the VEN API."""


class WorkQueue(Construct):
    """Messages for one worker function. FIFO: one message of a group (an org) at a time."""

    def __init__(
        self, scope: Construct, id: str, *, worker: FunctionSpec, fifo: bool = False
    ) -> None:
        super().__init__(scope, id)
        self.worker = worker
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            fifo=fifo or None,
            retention_period=DEAD_LETTERS_KEPT,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )
        acknowledge(self.dead_letters, "AwsSolutions-SQS3", "It is a dead-letter queue itself.")
        self.queue = sqs.Queue(
            self,
            "Queue",
            fifo=fifo or None,
            visibility_timeout=cdk.Duration.seconds(VISIBILITY_PER_TIMEOUT * worker.size.timeout_s),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=MAX_RECEIVES
            ),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )

    def event_source(self) -> event_sources.SqsEventSource:
        """What makes the queue invoke its worker. A worker names the messages that failed."""
        return event_sources.SqsEventSource(
            self.queue,
            batch_size=self.worker.batch_size,
            report_batch_item_failures=True,
            max_concurrency=MAX_CONCURRENCY,
        )
