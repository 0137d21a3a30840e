#!/usr/bin/env bash
# omegaconf 2.4.0: a plain YAML file of 2,000 entries with two keys each is refused, although it has no alias. The limit
# against aliases that multiply counts every node of the file, keys too: 10,000 by default. 2.3.0 reads the same file.
# Seen: "YAML node expansion exceeds the configured limit of 10000".
# Fails if the file is read, or if OMEGACONF_MAX_YAML_EXPANDED_NODES no longer lifts the limit.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check omegaconf==2.4.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import os

from omegaconf import OmegaConf

text = "".join(f"c{number}: {{kind: number, source: C{number}}}\n" for number in range(2000))
assert "*" not in text
assert "&" not in text
try:
    OmegaConf.create(text)
except Exception as error:
    print(type(error).__name__, str(error).partition(". ")[0])
    assert "exceeds the configured limit of 10000" in str(error)
else:
    raise SystemExit("changed: the file is read")
assert len(OmegaConf.create(text.partition("c1500:")[0])) == 1500
os.environ["OMEGACONF_MAX_YAML_EXPANDED_NODES"] = "1000000"
assert len(OmegaConf.create(text)) == 2000
PYTHON
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check omegaconf==2.3.0
"$work/venv/bin/python" -c "
from omegaconf import OmegaConf
assert len(OmegaConf.create(''.join(f'c{n}: {{kind: number, source: C{n}}}\n' for n in range(2000)))) == 2000
print('2.3.0 reads it')"
