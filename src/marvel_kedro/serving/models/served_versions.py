"""Look up the registered versions that an endpoint serves.

A deployment to Databricks imports this module without the packages of the extra `server`.
"""

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.aliases import find_version
from marvel_kedro.serving.configuration import EndpointOptions


def served_versions(endpoint: EndpointOptions) -> dict[str, str]:
    """Look up version numbers by served entity, without entities whose alias no version has.

    Raises:
        ProjectError: A configured version does not exist, or no entity has a version.
    """
    found = {}
    for entity in endpoint.served_entities:
        version = find_version(endpoint.model, alias=entity.alias, number=entity.version)
        if version is not None:
            found[entity.name] = str(version.version)
        elif entity.alias is None:
            raise ProjectError(
                f"The served entity '{entity.name}' (endpoint.served_entities) names version "
                f"{entity.version} of the model '{endpoint.model}', which does not exist. Name "
                "another, or an alias."
            )
    if not found:
        aliases = ", ".join(str(entity.alias) for entity in endpoint.served_entities)
        raise ProjectError(
            f"The endpoint '{endpoint.name}' has nothing to serve: no version of the model "
            f"'{endpoint.model}' (endpoint.model) has one of the aliases {aliases}. Train one: "
            "kedro run --pipelines training; or set MARVEL_CATALOG, MARVEL_SCHEMA and "
            "MLFLOW_REGISTRY_URI to where it is."
        )
    return found
