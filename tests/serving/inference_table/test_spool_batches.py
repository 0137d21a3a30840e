"""Lines of the spool, read in bulk."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.spooled import entry, spool_in

from marvel_kedro.serving.inference_table.spool_batches import parse_lines

DAMAGE = st.sampled_from(
    [
        b"\0" * 300,
        b"{",
        b'{"request_time":1}',
        b'{"request_time":99999999999999999999,"databricks_request_id":"a"}',
        b'{"request_time":9223372036854775807,"databricks_request_id":"a"}',
        b'{"request_time":1,"databricks_request_id":"\xff"}',
        b'{"request_time":1,"databricks_request_id":"a"}' * 2,
        b'{"request_time":1,"databricks_request_id":"a","status_code":"200"}',
        b'{"request_time":1,"databricks_request_id":"a","status_code":99999999999}',
        b'{"other":1}',
        b"[]",
        b"null",
        b"   ",
        b"\r",
        b"",
    ]
)


@settings(deadline=None)
@given(st.lists(DAMAGE | st.none(), max_size=40))
def test_parse_lines_keeps_intact_lines_among_damaged_ones(lines: list[bytes | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = spool_in(Path(folder))
        spool.write(entry("sound"))
        (file,) = Path(folder).iterdir()
        sound = file.read_bytes()
    data = b"".join(sound if line is None else line + b"\n" for line in lines)
    rows, damaged = parse_lines(data)
    assert rows["databricks_request_id"].to_pylist() == ["sound"] * lines.count(None)
    assert b"".join(damaged) == b"".join(line + b"\n" for line in lines if line is not None)
