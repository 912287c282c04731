"""Thirteen alarms that say that something is wrong, one dashboard that says what.

An alarm per function and metric would cost more than an idle deployment (0.10 USD each beyond ten).
So the alarms watch where faults come out - replies, dead letters, the sweep's own mark - and the
dashboard, which is free, breaks them down by function.
"""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.pce_function import Grantable
from infra.deployment import Deployment

NAMESPACE = "PCE"
"""Metrics that functions write to their logs (``pce.runtime.metrics``); no dimensions."""

MINUTE = cdk.Duration.minutes(1)
FIVE_MINUTES = cdk.Duration.minutes(5)

STREAM_BACKLOG_S = 3_600
"""A destination that has been down for an hour is no hiccup; what waits is kept for seven days."""

COMPILE_LAG_S = 60
"""A change should reach VENs in seconds; after a minute something holds it up."""

ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
QUIET = cloudwatch.TreatMissingData.NOT_BREACHING
SILENCE_IS_BAD = cloudwatch.TreatMissingData.BREACHING


class ObservabilityStack(cdk.Stack):
    """Alarms go to one SNS topic; ``-c alarm_email=...`` subscribes an address to it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        deployment: Deployment,
        grantable: Grantable,
        http_api: apigateway.HttpApi,
        bolts_api: apigateway.WebSocketApi,
        sweep_dead_letters: sqs.IQueue,
    ) -> None:
        super().__init__(scope, id, description="PCE: alarms and dashboard")
        self._prefix = deployment.name
        self._topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        if deployment.alarm_email:
            self._topic.add_subscription(subscriptions.EmailSubscription(deployment.alarm_email))
        dead_letters: dict[str, sqs.IQueue] = {
            **{name: queue.dead_letters for name, queue in grantable.queues.items()},
            "sweep": sweep_dead_letters,
        }
        self._alarm_on_errors(http_api, bolts_api)
        self._alarm_on_dead_letters(dead_letters)
        self._alarm_on_own_metrics()
        self._dashboard(grantable, http_api, bolts_api, dead_letters)

    def _alarm_on_errors(
        self, http_api: apigateway.HttpApi, bolts_api: apigateway.WebSocketApi
    ) -> None:
        self._alarm(
            "HttpErrors",
            http_api.metric_server_error(period=FIVE_MINUTES, statistic="Sum"),
            0,
            "The HTTP API answered with 5xx. Every 5xx is a bug or a shortage: see the dashboard"
            " for the function, then its log.",
        )
        self._alarm(
            "BoltErrors",
            _metric("AWS/ApiGateway", "IntegrationError", {"ApiId": bolts_api.api_id}, "Sum"),
            0,
            "A function behind the WebSocket API failed. VENs fall back to heartbeats: policy still"
            " arrives, up to an interval later.",
        )
        self._alarm(
            "FunctionErrors",
            _metric("AWS/Lambda", "Errors", {}, "Sum"),
            0,
            "A function of this account and region failed (the metric without a function's name"
            " costs one alarm instead of one each).",
        )
        self._alarm(
            "FunctionThrottles",
            _metric("AWS/Lambda", "Throttles", {}, "Sum"),
            0,
            "Lambda turned calls away: the account's concurrency is used up, by whatever function.",
        )

    def _alarm_on_dead_letters(self, dead_letters: Mapping[str, sqs.IQueue]) -> None:
        for name, queue in dead_letters.items():
            self._alarm(
                f"{''.join(part.capitalize() for part in name.split('_'))}DeadLetters",
                queue.metric_approximate_number_of_messages_visible(
                    period=FIVE_MINUTES, statistic="Maximum"
                ),
                0,
                f"Work of {name} was given up after all its tries; it waits in the dead-letter"
                " queue for 14 days.",
            )

    def _alarm_on_own_metrics(self) -> None:
        self._alarm(
            "SweepNotRun",
            _metric(NAMESPACE, "SweepCompleted", {}, "Sum", FIVE_MINUTES),
            1,
            "No sweep was completed for 5 minutes: silent VENs are not noticed meanwhile.",
            comparison=BELOW,
            missing=SILENCE_IS_BAD,
        )
        self._alarm(
            "CompileLag",
            _metric(NAMESPACE, "CompileLagSeconds", {}, "Maximum", FIVE_MINUTES),
            COMPILE_LAG_S,
            f"A policy change took more than {COMPILE_LAG_S} s until it was computed.",
        )
        self._alarm(
            "StreamBacklog",
            _metric(NAMESPACE, "StreamBacklogSeconds", {}, "Maximum", FIVE_MINUTES),
            STREAM_BACKLOG_S,
            "A syslog destination or the archive has not got what is more than an hour old. The"
            " destination says why: GET /orgs/N/settings/syslog/destinations. After 7 days what"
            " waits is lost.",
        )
        self._alarm(
            "MassOfflineBrake",
            _metric(NAMESPACE, "MassOfflineBrake", {}, "Maximum", MINUTE),
            0,
            "So many VENs fell silent at once that the PCE itself is the likelier fault: none of"
            " them was marked offline. Check the VEN API, then confirm or wait.",
        )

    def _alarm(
        self,
        id: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        description: str,
        *,
        comparison: cloudwatch.ComparisonOperator = ABOVE,
        missing: cloudwatch.TreatMissingData = QUIET,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_name=f"{self._prefix}-{id}",
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(actions.SnsAction(self._topic))
        alarm.add_ok_action(actions.SnsAction(self._topic))

    def _dashboard(
        self,
        grantable: Grantable,
        http_api: apigateway.HttpApi,
        bolts_api: apigateway.WebSocketApi,
        dead_letters: Mapping[str, sqs.IQueue],
    ) -> None:
        def graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
            return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6)

        def by_function(metric: str, statistic: str) -> cloudwatch.MathExpression:
            search = (
                "SEARCH('{AWS/Lambda,FunctionName} "
                f"MetricName=\"{metric}\" FunctionName={self._prefix}', '{statistic}', 300)"
            )
            return cloudwatch.MathExpression(expression=search, label="", using_metrics={})

        bolts = {"ApiId": bolts_api.api_id}
        queues = {name: queue.queue for name, queue in grantable.queues.items()}
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._prefix,
            widgets=[
                [
                    graph(
                        "HTTP requests",
                        http_api.metric_count(period=MINUTE, statistic="Sum"),
                        http_api.metric_client_error(period=MINUTE, statistic="Sum"),
                        http_api.metric_server_error(period=MINUTE, statistic="Sum"),
                    ),
                    graph(
                        "HTTP latency, ms",
                        http_api.metric_latency(period=MINUTE, statistic="p50"),
                        http_api.metric_latency(period=MINUTE, statistic="p99"),
                    ),
                    graph(
                        "Bolts: connects and messages",
                        _metric("AWS/ApiGateway", "ConnectCount", bolts, "Sum", MINUTE),
                        _metric("AWS/ApiGateway", "MessageCount", bolts, "Sum", MINUTE),
                    ),
                ],
                [
                    graph("Errors by function", by_function("Errors", "Sum")),
                    graph("Duration by function, p99 ms", by_function("Duration", "p99")),
                    graph("Throttles by function", by_function("Throttles", "Sum")),
                ],
                [
                    graph(
                        "Compile lag, s",
                        _metric(NAMESPACE, "CompileLagSeconds", {}, "Maximum", MINUTE),
                    ),
                    graph(
                        "Sweeps and orgs with the brake on",
                        _metric(NAMESPACE, "SweepCompleted", {}, "Sum", FIVE_MINUTES),
                        _metric(NAMESPACE, "MassOfflineBrake", {}, "Maximum", FIVE_MINUTES),
                    ),
                    graph(
                        "Age of the oldest queued message, s",
                        *(
                            queue.metric_approximate_age_of_oldest_message(period=MINUTE)
                            for queue in queues.values()
                        ),
                    ),
                ],
                [
                    graph(
                        "DynamoDB write units",
                        *(
                            _consumed("ConsumedWriteCapacityUnits", table.table_name)
                            for table in grantable.tables.values()
                        ),
                    ),
                    graph(
                        "DynamoDB read units",
                        *(
                            _consumed("ConsumedReadCapacityUnits", table.table_name)
                            for table in grantable.tables.values()
                        ),
                    ),
                    graph(
                        "Dead letters",
                        *(
                            queue.metric_approximate_number_of_messages_visible(period=MINUTE)
                            for queue in dead_letters.values()
                        ),
                    ),
                ],
            ],
        )


def _metric(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    statistic: str,
    period: cdk.Duration = FIVE_MINUTES,
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions or None,
        statistic=statistic,
        period=period,
    )


def _consumed(metric: str, table_name: str) -> cloudwatch.Metric:
    return _metric("AWS/DynamoDB", metric, {"TableName": table_name}, "Sum", MINUTE)
