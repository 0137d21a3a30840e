"""A worker that logs requests and prints their ids: `python spool_worker.py SPOOL`.

It ends on SIGTERM, and without output on SIGKILL. Every fiftieth line closes its file.
"""

import signal
import sys
import time
import uuid
from pathlib import Path

from marvel_kedro.serving.configuration import InferenceTableOptions
from marvel_kedro.serving.inference_table.spool import Entry, Spool


def main() -> None:
    spool = Spool(Path(sys.argv[1]), InferenceTableOptions(), spool_bytes=10**9)
    going = True

    def stop(*_: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    written = 0
    while going:
        name = uuid.uuid4().hex
        body = b'{"dataframe_records": [{"name": "%s"}]}' % (name.encode() * (written % 40))
        entry = Entry(name, None, time.time_ns() // 1000, 200, 1, body, b"{}", "e", "r")
        assert spool.write(entry), spool.dropped
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        written += 1
        if written % 50 == 0:
            spool.rotate()
            time.sleep(0.05)
    spool.rotate()


if __name__ == "__main__":
    main()
