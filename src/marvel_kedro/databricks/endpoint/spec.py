"""What the description asks for, in the platform's words."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from databricks.sdk.service.serving import AiGatewayInferenceTableConfig, ServedEntityInput

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.configuration import EndpointOptions, effective_traffic

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What is to be there.

    Attributes:
        name: Name of the endpoint.
        entities: What is served.
        traffic: Percentages by served entity, 100 in all.
        table: Where requests and answers are written down; None for nowhere.
        rate_limits: Calls a minute by key.
        tags: Tags that it has among others.
        query_groups: Groups that may query it, among others.
    """

    name: str
    entities: tuple[ServedEntityInput, ...]
    traffic: dict[str, int]
    table: AiGatewayInferenceTableConfig | None
    rate_limits: dict[str, int]
    tags: dict[str, str]
    query_groups: tuple[str, ...]

    @classmethod
    def of(
        cls, endpoint: EndpointOptions, versions: Mapping[str, str], catalog: str, schema: str
    ) -> Self:
        """Say in the platform's words what the description asks for.

        Args:
            endpoint: The description.
            versions: By served entity its version; one without a version gets no traffic.
            catalog: Where the inference table goes.
            schema: Likewise.

        Raises:
            ProjectError: The platform cannot do what is asked for; it names the key.
        """
        table, options = endpoint.inference_table, endpoint.databricks
        if table.enabled and table.redact:
            raise ProjectError(
                f"endpoint.inference_table.redact hides {', '.join(table.redact)}, and the "
                f"inference table of the endpoint '{endpoint.name}' on Databricks cannot hide "
                "fields. Set endpoint.inference_table.enabled: false there, or redact: []."
            )
        if table.enabled and table.sampling_fraction < 1:
            logger.warning(
                "endpoint.inference_table.sampling_fraction does nothing on Databricks: every "
                "request is written down."
            )
        return cls(
            name=endpoint.name,
            entities=tuple(
                ServedEntityInput(
                    name=name,
                    entity_name=endpoint.model,
                    entity_version=version,
                    workload_size=options.workload_size,
                    scale_to_zero_enabled=options.scale_to_zero,
                )
                for name, version in versions.items()
            ),
            traffic=effective_traffic(endpoint.traffic, list(versions)),
            table=AiGatewayInferenceTableConfig(
                catalog_name=catalog,
                schema_name=schema,
                table_name_prefix=table.table_name_prefix,
                enabled=True,
            )
            if table.enabled
            else None,
            rate_limits={limit.key: limit.calls for limit in options.rate_limits},
            tags=options.tags,
            query_groups=options.query_groups,
        )
