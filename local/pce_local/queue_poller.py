"""Takes messages from a queue to its function, as Lambda's SQS event source does.

What the function does not name in ``batchItemFailures`` is deleted; what it names, or all of it
when it raises, comes back after the visibility timeout, and goes to the dead-letter queue after too
many tries. The store keeps FIFO groups in order: it holds back a group of which a message is out.
"""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pce_local.config import ACCOUNT, REGION
from pce_local.functions import Functions, HandlerFailed
from pce_local.resources import MAX_RECEIVES, VISIBILITY_TIMEOUT_S
from pce_local.routes import QueueTrigger

LOOK_EVERY_S = 3.0
"""How often to look without having been rung: for messages that come back, after a failure or
because the host was killed while it had them. Each look costs the host and the store 2 ms of CPU;
four queues every three seconds are 0.3 % of a core."""

HANDLER_TIMEOUT_S = 60.0
"""What the function is told it has."""

log = logging.getLogger(__name__)


class QueuePoller:
    """One thread that empties one queue whenever there is something in it."""

    def __init__(self, trigger: QueueTrigger, url: str, sqs: Any, functions: Functions) -> None:
        self._trigger = trigger
        self._url = url
        self._sqs = sqs
        self._functions = functions
        self._bell = threading.Event()
        self._stop_asked = threading.Event()
        name = f"queue-{trigger.queue}"
        # Daemon threads: a handler that never ends must not keep the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"function-{trigger.function}")

    def start(self) -> None:
        """Begin to look for messages, first for those that wait already."""
        self.ring()
        self._thread.start()

    def ring(self) -> None:
        """Look now: something was sent."""
        self._bell.set()

    def stop(self) -> None:
        """Take no more messages; a batch that is being handled is finished."""
        self._stop_asked.set()
        self._bell.set()

    @property
    def running(self) -> bool:
        """Whether it still looks for messages, or finishes a batch after ``stop``."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop_asked.is_set():
            self._bell.wait(LOOK_EVERY_S)
            self._bell.clear()
            try:
                while not self._stop_asked.is_set() and (messages := self._receive()):
                    self._handle(messages)
            except (BotoCoreError, ClientError):
                if not self._stop_asked.is_set():
                    log.exception("queue %s cannot be read", self._trigger.queue)

    def _receive(self) -> list[dict[str, Any]]:
        reply = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=self._trigger.batch_size,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = reply.get("Messages", [])
        return messages

    def _handle(self, messages: list[dict[str, Any]]) -> None:
        event = sqs_event(self._trigger.queue, messages)
        call = self._pool.submit(
            self._functions.call, self._trigger.function, event, HANDLER_TIMEOUT_S
        )
        failed = self._wait(call, messages)
        done = [message for message in messages if message["MessageId"] not in failed]
        if done:
            entries = [
                {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
                for i, message in enumerate(done)
            ]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
        for message in messages:
            tries = int(message["Attributes"]["ApproximateReceiveCount"])
            if message["MessageId"] in failed and tries >= MAX_RECEIVES:
                log.error(
                    "message %s of queue %s failed %d times and goes to the dead-letter queue",
                    message["MessageId"],
                    self._trigger.queue,
                    tries,
                )

    def _wait(self, call: Future[Any], messages: list[dict[str, Any]]) -> set[str]:
        """Wait for the function, keeping the messages invisible; the ids of those that failed."""
        while True:
            try:
                return failed_messages(call.result(VISIBILITY_TIMEOUT_S / 3), messages)
            except TimeoutError:
                entries = [
                    {
                        "Id": str(i),
                        "ReceiptHandle": message["ReceiptHandle"],
                        "VisibilityTimeout": VISIBILITY_TIMEOUT_S,
                    }
                    for i, message in enumerate(messages)
                ]
                self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            except HandlerFailed:
                return {message["MessageId"] for message in messages}


def failed_messages(result: Any, messages: list[dict[str, Any]]) -> set[str]:
    """Ids of the messages that a function's result reports as failed.

    As on AWS, a report that is malformed or names a message that is not in the batch fails all.
    """
    everything = {message["MessageId"] for message in messages}
    failures = result.get("batchItemFailures") if isinstance(result, dict) else None
    if not failures:
        return set()
    try:
        named = {failure["itemIdentifier"] for failure in failures}
    except (KeyError, TypeError):
        return everything
    return named if named <= everything else everything


def sqs_event(queue: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The event that Lambda's SQS event source makes of received messages."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {
                    name: {f"{key[0].lower()}{key[1:]}": part for key, part in value.items()}
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }
