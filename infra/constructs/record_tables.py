"""Athena's tables over the archive. Partitions are computed from the query, so nothing has to be
told of new ones, and a query that does not name an org is refused."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.archive_columns import EVENTS, SUMMARIES

_ORG = {"projection.org_id.type": "injected"}
_HOUR = {
    "projection.hour.type": "date",
    "projection.hour.format": "yyyy/MM/dd/HH",
    "projection.hour.range": "NOW-120DAYS,NOW",
    "projection.hour.interval": "1",
    "projection.hour.interval.unit": "HOURS",
}


class RecordTables(Construct):
    """One database with ``summaries`` and ``auditable``. Tables cost nothing; queries do."""

    def __init__(
        self, scope: Construct, id: str, *, name: str, fqdn: str, bucket: s3.IBucket
    ) -> None:
        super().__init__(scope, id)
        self._catalog = cdk.Stack.of(self).account
        self._database = f"{name.replace('-', '_')}_records"
        self._root = f"s3://{bucket.bucket_name}/{fqdn}"
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=self._catalog,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=self._database),
        )
        org = f"{self._root}/org_id=${{org_id}}"
        decisions = {"projection.pd.type": "enum", "projection.pd.values": "0,1,2,3"}
        for table in (
            self._table(
                "summaries",
                SUMMARIES,
                ("org_id", "pd", "hour"),
                {**_ORG, **decisions, **_HOUR},
                f"{org}/summaries/pd=${{pd}}/${{hour}}/",
            ),
            self._table(
                "auditable",
                EVENTS,
                ("org_id", "hour"),
                {**_ORG, **_HOUR},
                f"{org}/auditable/${{hour}}/",
            ),
        ):
            table.add_resource_dependency(database)

    def _table(
        self,
        name: str,
        columns: Mapping[str, str],
        partitions: tuple[str, ...],
        projection: Mapping[str, str],
        template: str,
    ) -> glue.CfnTable:
        column = glue.CfnTable.ColumnProperty
        return glue.CfnTable(
            self,
            name.capitalize(),
            catalog_id=self._catalog,
            database_name=self._database,
            table_input=glue.CfnTable.TableInputProperty(
                name=name,
                table_type="EXTERNAL_TABLE",
                parameters={
                    "projection.enabled": "true",
                    "storage.location.template": template,
                    **projection,
                },
                partition_keys=[column(name=each, type="string") for each in partitions],
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=self._root,
                    columns=[column(name=each, type=kind) for each, kind in columns.items()],
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.openx.data.jsonserde.JsonSerDe",
                        parameters={"ignore.malformed.json": "true"},
                    ),
                ),
            ),
        )
