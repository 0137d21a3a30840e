"""The Spark session of a run: the one that is there, or one that is started and stopped again."""

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
from marvel_kedro.databricks import error_messages

logger = logging.getLogger(__name__)

Engine = Literal["sail", "spark"]

CONNECT_SECONDS = 5.0
_JAVA = (17, 21)  # what Spark 4.1 runs on
_DELTA = "io.delta:delta-spark_4.1_2.13:4.3.1"

SAIL_SETTINGS = {
    "RUST_LOG": "error",
    # Without a bound Sail sorts in memory whatever the size; beyond it, it spills to TMPDIR.
    "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
    "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(2 * 1024**3),
}
"""A Sail in this process that suits a laptop; what the environment says goes before it."""

SPARK_SETTINGS = {
    "spark.jars.packages": _DELTA,
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # With the 200 and 50 that a cluster has, a small table takes seconds.
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
"""A local Spark with Delta that suits a laptop."""


_ends: list[Callable[[], object]] = []


@atexit.register
def end() -> None:
    """End the session and stop its server, if one was started here; nothing if that is done."""
    while _ends:
        with suppress(Exception):  # what has died has nothing to end
            _ends.pop()()


def start(engine: Engine, scratch: Path) -> None:
    """Make sure that `SparkSession.builder.getOrCreate()` gives a session, until `end`.

    On Databricks there is one. Else the server that SPARK_REMOTE names is used; else Sail is
    started in this process, or Spark, if `engine` asks for it. `SPARK_REMOTE=local[2]` is Spark in
    this process behind Spark Connect.

    Args:
        engine: What to start where there is no session.
        scratch: A folder for what a local Spark leaves behind.

    Raises:
        ProjectError: It cannot be started or reached; the message says what to do.
    """
    end()  # what an interrupted run in this process left
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return
    _refuse_databricks_connect()
    _need_package("pyspark")
    # Workers would otherwise run whatever `python3` is.
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
    _connect()  # to be ended before the server, which it would look for for minutes


def _start_spark(scratch: Path, remote: str | None = None) -> None:
    _check_java()
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

    settings = SPARK_SETTINGS | {
        "spark.sql.warehouse.dir": str(scratch / "spark"),
        "spark.driver.extraJavaOptions": f'-Dderby.system.home="{scratch / "derby"}"',
    }
    builder = SparkSession.builder
    for key, value in settings.items():
        builder = builder.config(key, value)
    logger.info("Starting Apache Spark; the first start fetches Delta's jars.")
    builder = builder.remote(remote) if remote else builder.master("local[*]")
    try:
        _ends.append(builder.getOrCreate().stop)
    except Exception as error:  # of py4j, pyspark or the launcher
        raise ProjectError(
            f"Apache Spark could not be started: {' '.join(str(error).split())}\nWhat it printed "
            f"above says why. If it could not fetch {_DELTA}, let it reach Maven Central once, or "
            "bring the folder ~/.ivy2.5.2 of a machine that has; or leave MARVEL_ENGINE and "
            "SPARK_REMOTE out: Sail needs no Java."
        ) from error


def _connect() -> None:
    """Begin a session at the server that SPARK_REMOTE names, and see that it lets this user in."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used
    from pyspark.sql.connect.client.retries import DefaultPolicy  # noqa: PLC0415

    session: Any = SparkSession.builder.getOrCreate()

    def end_session() -> None:
        session.client.set_retry_policies([])  # a server that has died is not waited for
        session.stop()

    _ends.append(end_session)
    # A server that dies during a run is asked again for ten seconds, not for ten minutes.
    session.client.set_retry_policies([DefaultPolicy(max_retries=5, max_backoff=4_000)])
    try:
        session.version  # noqa: B018 - asks the server
    except Exception as error:
        raise ProjectError(error_messages.explain(error)) from error


def _need_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise ProjectError(
            f"The environment `lakehouse` needs {name}: make lakehouse installs it, or "
            'pip install "marvel-kedro[spark]".'
        )


def _refuse_databricks_connect() -> None:
    """Refuse a package that takes Spark's place, and every session with it to a workspace."""
    with suppress(ModuleNotFoundError):
        if importlib.util.find_spec("databricks.connect"):
            raise ProjectError(
                "databricks-connect is installed: it replaces pyspark and would send every table "
                "to a workspace. pip uninstall databricks-connect pyspark, then make lakehouse."
            )


def _check_reachable(remote: str) -> None:
    """Fail within seconds where pyspark would try for minutes."""
    import grpc  # noqa: PLC0415 - only where Spark is used
    from pyspark.sql.connect.client import DefaultChannelBuilder  # noqa: PLC0415

    address = remote.partition(";")[0].removesuffix("/")  # what follows may be a token
    try:
        builder = DefaultChannelBuilder(remote)
        host, _, port = builder.endpoint.rpartition(":")
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        fault: object = error
    except Exception:  # noqa: BLE001 - the address; what pyspark says of it has the token
        fault = "no address like sc://host:port/;token=.."
    else:
        channel = builder.toChannel()
        try:
            grpc.channel_ready_future(channel).result(CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            fault = "it takes connections but speaks no Spark Connect"
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
        f"Install Java {_JAVA[0]} or {_JAVA[1]} and set JAVA_HOME, or leave MARVEL_ENGINE out: "
        "Sail needs no Java."
    )
    if not java or not Path(java).exists():
        place = f"JAVA_HOME={home}" if home else "the PATH"
        raise ProjectError(f"Apache Spark needs Java, and there is none in {place}. {remedy}")
    said = subprocess.run(  # noqa: S603 - the java that Spark would start
        [str(java), "-version"], capture_output=True, text=True, check=False
    ).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) not in _JAVA:
        version = found[1] if found else "no version"
        raise ProjectError(f"Apache Spark 4.1 needs Java 17 or 21; {java} is {version}. {remedy}")
