"""The Spark session of a run: an existing one, or one that is started and stopped."""

import atexit
import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.error_messages import engine_message

logger = logging.getLogger(__name__)

Engine = Literal["sail", "spark"]

CONNECT_SECONDS = 5.0
_JAVA = ("17", "21")  # versions that Spark 4.1 supports
_DELTA = "io.delta:delta-spark_4.1_2.13:4.3.1"

SAIL_SETTINGS = {
    "RUST_LOG": "error",
    # Without a limit Sail sorts in memory at any size; above the limit it spills to TMPDIR.
    "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
    "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(2 * 1024**3),
}
"""Settings of a Sail server in this process, for a laptop; environment variables override them."""

SPARK_SETTINGS = {
    "spark.jars.packages": _DELTA,
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # With the 200 and 50 of a cluster, a small table takes seconds.
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.session.timeZone": "UTC",
    # Without Arrow a pandas null becomes the text `nan`.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.driver.memory": "3g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
"""Settings of a local Spark with Delta, for a laptop."""

_ends: list[Callable[[], object]] = []


@atexit.register
def end() -> None:
    """End the session and stop its server, if they were started here."""
    while _ends:
        with suppress(Exception):  # a server that has died cannot be stopped
            _ends.pop()()


def start(engine: Engine, scratch: Path) -> None:
    """Start the session that `active` returns, until `end`.

    - On Databricks there is one.
    - With SPARK_REMOTE, connect to that server. `SPARK_REMOTE=local[2]` starts Spark in this
      process behind Spark Connect.
    - Otherwise start the engine in this process; `scratch` is a folder for the files of Spark.

    Raises:
        ProjectError: The engine cannot be started or reached; it names the remedy.
    """
    end()  # the session that an interrupted run in this process left
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return
    _refuse_databricks_connect()
    _need_package("pyspark")
    # Workers would otherwise run any `python3` of the path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    remote = os.environ.get("SPARK_REMOTE", "")
    if remote.startswith("local"):
        _start_spark(scratch, remote=remote)
    elif remote:
        _check_reachable(remote)
        _connect()
    elif engine == "spark":
        _start_spark(scratch)
    else:
        _start_sail()


def active() -> Any:  # noqa: ANN401 - a session, classic or remote
    """Return the session that `start` has started, or the one of the platform."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

    return SparkSession.builder.getOrCreate()


def _start_sail() -> None:
    _need_package("pysail")
    for key, value in SAIL_SETTINGS.items():
        os.environ.setdefault(key, value)
    from pysail.spark import SparkConnectServer  # noqa: PLC0415 - only where Sail is used

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    os.environ["SPARK_REMOTE"] = f"sc://127.0.0.1:{port}"
    _ends.append(lambda: (os.environ.pop("SPARK_REMOTE"), server.stop()))
    _connect()  # ends before the server, which it would otherwise retry for minutes


def _start_spark(scratch: Path, remote: str | None = None) -> None:
    _check_java()
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

    folders = {
        "spark.sql.warehouse.dir": str(scratch / "spark"),
        "spark.driver.extraJavaOptions": f'-Dderby.system.home="{scratch / "derby"}"',
    }
    logger.info("Starting Apache Spark; the first start downloads Delta's jars.")
    builder = SparkSession.builder.config(map={**SPARK_SETTINGS, **folders})
    builder = builder.remote(remote) if remote else builder.master("local[*]")
    try:
        _ends.append(builder.getOrCreate().stop)
    except Exception as error:  # of py4j, pyspark or the launcher
        raise ProjectError(
            f"Apache Spark could not be started: {' '.join(str(error).split())}\nIts output above "
            f"has the reason. If it could not download {_DELTA}, give it access to Maven Central "
            "once, or copy the folder ~/.ivy2.5.2 of a machine that has it; or leave MARVEL_ENGINE "
            "and SPARK_REMOTE out: Sail needs no Java."
        ) from error


def _connect() -> None:
    """Start a session at the server that SPARK_REMOTE names, and check the login."""
    from pyspark.sql.connect.client.retries import DefaultPolicy  # noqa: PLC0415 - as in `active`

    session = active()

    def end_session() -> None:
        session.client.set_retry_policies([])  # do not wait for a server that has died
        session.stop()

    _ends.append(end_session)
    # Retry a server that dies during a run for ten seconds, not for ten minutes.
    session.client.set_retry_policies([DefaultPolicy(max_retries=5, max_backoff=4_000)])
    try:
        session.version  # noqa: B018 - sends a request
    except Exception as error:
        raise ProjectError(engine_message(error)) from error


def _need_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise ProjectError(
            f"The environment `lakehouse` needs {name}: make lakehouse installs it, or "
            'pip install "marvel-kedro[spark]".'
        )


def _refuse_databricks_connect() -> None:
    """Refuse databricks-connect, which replaces pyspark and sends every session to a workspace."""
    with suppress(ModuleNotFoundError):
        if importlib.util.find_spec("databricks.connect"):
            raise ProjectError(
                "databricks-connect is installed: it replaces pyspark and would send every table "
                "to a workspace. pip uninstall databricks-connect pyspark, then make lakehouse."
            )


def _check_reachable(remote: str) -> None:
    """Fail within seconds where pyspark would retry for minutes."""
    import grpc  # noqa: PLC0415 - only where Spark is used
    from pyspark.sql.connect.client import DefaultChannelBuilder  # noqa: PLC0415

    address = remote.partition(";")[0].removesuffix("/")  # the rest may hold a token
    try:
        builder = DefaultChannelBuilder(remote)
        host, _, port = builder.endpoint.rpartition(":")
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        fault: object = error
    except Exception:  # noqa: BLE001 - the address; pyspark's own message shows the token
        fault = "no address like sc://host:port/;token=.."
    else:
        channel = builder.toChannel()
        try:
            grpc.channel_ready_future(channel).result(CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            fault = "it accepts connections but does not speak Spark Connect"
        else:
            return
        finally:
            channel.close()
    raise ProjectError(
        f"Nothing answers at SPARK_REMOTE, which is {address} ({fault}). Start that server, "
        "correct the address, or unset SPARK_REMOTE to use Sail."
    )


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java: Any = Path(home) / "bin" / "java" if home else shutil.which("java")
    remedy = (
        f"Install Java {' or '.join(_JAVA)} and set JAVA_HOME, or leave MARVEL_ENGINE out: "
        "Sail needs no Java."
    )
    if not java or not Path(java).exists():
        place = f"JAVA_HOME={home}" if home else "the PATH"
        raise ProjectError(f"Apache Spark needs Java, and there is none in {place}. {remedy}")
    output = subprocess.run(  # noqa: S603 - the java that Spark starts
        [str(java), "-version"], capture_output=True, text=True, check=False
    ).stderr
    found = re.search(r'version "(\d+)', output)
    version = found[1] if found else "no version"
    if version not in _JAVA:
        raise ProjectError(f"Apache Spark 4.1 needs Java 17 or 21; {java} is {version}. {remedy}")
