"""The table description: which table, which key, which target, which columns.

`conf/base/table.yml` holds it, and everything that depends on the table reads it. The module
imports only pydantic, so that every package can use it.
"""

import codecs
import hashlib
import json
import keyword
import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.table.slices import Slice, by_name, parse

Kind = Literal["id", "number", "category", "boolean", "text", "set", "date"]
REMEDY = "Fix conf/base/table.yml, or the table.yml of your environment."

RESERVED = frozenset(
    {
        *("prediction", "probability", "reason", "labelled_at", "scored_at", "model_name"),
        *("model_version", "request_date", "request_time", "record_number", "client_request_id"),
        *("served_entity_id", "served_entity_name", "databricks_request_id", "window"),
        *("status_code", "execution_duration_ms", "candidate", "champion", "constant"),
        *("logistic_regression",),
    }
)
"""Columns that the project adds to tables of records."""

DEFAULT_SLICES = 3
"""The number of columns that are slices where the description names none."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _plain_name(name: str) -> str:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError("must be lower-case letters, digits and underscores, a letter first")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]
"""A name that files, SQL and MLflow take without quotes."""


class RowWords(Options):
    """The word for a row in sentences that people read."""

    one: str = "record"
    many: str = "records"


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise ValueError("is no encoding that Python knows, such as utf-8 or cp1252") from error
    return name


class ReadOptions(Options):
    """How the raw file differs from a plain CSV file; Parquet and Excel need none of it.

    Attributes:
        separator: The character between the cells of a row.
        encoding: The encoding of the text.
    """

    separator: str = Field(",", min_length=1, max_length=1)
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"

    @property
    def load_args(self) -> dict[str, Any]:
        """The arguments of pandas for what differs."""
        given = self.model_dump(exclude_defaults=True)
        return {{"separator": "sep"}.get(key, key): value for key, value in given.items()}


class Target(Options):
    """The column to predict and its two classes.

    Attributes:
        column: The column of the table.
        positive: The class whose probability the model returns.
        negative: The other class. None: every other value; the class is then called `not ..`.
        words: The class by value of the source, where the source uses other words.
    """

    column: Name
    positive: str = Field(min_length=1)
    negative: str | None = Field(None, min_length=1)
    words: dict[str, str] = Field(default_factory=dict)

    @property
    def other(self) -> str:
        """The name of the negative class."""
        return self.negative or f"not {self.positive}"

    @property
    def classes(self) -> tuple[str, str]:
        """The positive class and the negative one."""
        return self.positive, self.other

    @model_validator(mode="before")
    @classmethod
    def _read_words(cls, given: Any) -> Any:  # noqa: ANN401 - any YAML
        if not isinstance(given, dict):
            return given
        texts = [given.get("positive"), given.get("negative")]
        words = given.get("words")
        words = words if isinstance(words, dict) else {}
        if any(isinstance(text, bool) for text in (*texts, *words, *words.values())):
            raise ValueError("YAML reads Yes, No, On and Off as true and false: put them in quotes")
        numbers: dict[str, Any] = {
            key: str(given[key])
            for key in ("positive", "negative")
            if isinstance(given.get(key), int)
        }
        if words:
            numbers["words"] = {
                str(word) if isinstance(word, int) else word: each for word, each in words.items()
            }
        return {**given, **numbers}

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.positive == self.negative:
            raise ValueError(f"positive and negative are both '{self.positive}'")
        odd = {word for word in self.words.values() if word not in self.classes}
        if odd and self.negative is not None:
            raise ValueError(f"words lead to {sorted(odd)}; the classes are {list(self.classes)}")
        return self


class Column(Options):
    """A column of the table.

    Attributes:
        source: Its name in the file; by default the name in the table.
        kind: What its values are, which decides type, cleaning and features.
        meaning: A sentence for the comment of the column.
        unit: The unit of a number.
        above: Exclusive lower bound of a number. Others are null.
        below: Exclusive upper bound of a number. Others are null.
        decimal: The decimal mark of numbers that are not plain, such as `1.234,5` or `1,234.5`:
            thousands may be grouped. By default all numbers are plain decimals.
        separator: What separates the items of a set.
        values: The usual values of a category; others are counted as new ones.
        format: The format of a date, as Python's `strptime` takes it; by default ISO 8601.
        row_hash: Whether processing makes it: the MD5 of the row's other columns, numbered where
            rows are equal.
        feature: Whether the model uses it.
        required: Whether a file without it is refused.
    """

    source: str = ""
    kind: Kind
    meaning: str = ""
    unit: str | None = None
    above: float | None = None
    below: float | None = None
    decimal: Literal[".", ","] | None = None
    separator: str = Field(";", pattern=r"^[^\\$]+$")  # which replacements would interpret
    values: tuple[str, ...] = ()
    format: str | None = Field(None, min_length=2)
    row_hash: bool = False
    feature: bool = True
    required: bool = True

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers; those of every other kind are text."""
        return self.kind == "number"

    @property
    def bounds(self) -> tuple[float, float]:
        """The exclusive bounds of a number, infinite where there is none."""
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        for key, kind in (
            ("unit", "number"),
            ("above", "number"),
            ("below", "number"),
            ("decimal", "number"),
            ("separator", "set"),
            ("values", "category"),
            ("format", "date"),
            ("row_hash", "id"),
        ):
            if self.kind != kind and getattr(self, key) != Column.model_fields[key].default:
                raise ValueError(f"{key} is for the kind {kind}, not for {self.kind}")
        if self.row_hash and self.source:
            raise ValueError("row_hash is true: such a column is made, and has no source")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError("above must be less than below")
        return self


def _question(validated: dict[str, Any]) -> str:
    target: Target | None = validated.get("target")  # None: invalid, which has its own message
    if target is None:
        return ""
    other = f" or {target.negative}" if target.negative else ""
    return f"Is {target.column.replace('_', ' ')} {target.positive}{other}?"


class TableSpec(Options):
    """The section `table`: the table and the target of the prediction.

    Attributes:
        name: The name of model, experiment, endpoint and schema.
        file: The raw file, below `data/01_raw`.
        read: How the raw file differs from a plain CSV file.
        row: What a row is.
        key: The unique column; text.
        target: The column to predict.
        question: What the model answers, for people; by default made of the target.
        group: Rows that share its value stay on one side of a split or fold; by default the key.
        columns: The columns of the table, in its order.
        slices: Columns, and conditions `column = 'value'`, by which models are measured. None: the
            first columns of categories and Booleans that the model takes.
        features: The module whose functions are more features than those of the kinds.
        world: The class that generates rows of this table, for a raw file and for traffic; without
            one, traffic resamples the rows of the table.
    """

    name: Annotated[str, Field(max_length=63), AfterValidator(_plain_name)]  # as of endpoints
    file: str = Field(min_length=1)
    read: ReadOptions = ReadOptions()
    row: RowWords = RowWords()
    key: Name
    target: Target
    question: str = Field(default_factory=_question, min_length=1)
    group: Name | None = None
    columns: dict[Name, Column] = Field(min_length=2)
    slices: tuple[str, ...] | None = None
    features: str | None = None
    world: str | None = None

    @property
    def inputs(self) -> dict[str, Column]:
        """The columns that the model takes: those with features, and the group.

        Retraining splits rows by the group. All are text, but the numbers (`Column.is_number`).
        """
        return {
            name: column
            for name, column in self.columns.items()
            if name not in {self.key, self.target.column} and (column.feature or name == self.group)
        }

    @property
    def made_from(self) -> list[str]:
        """The columns of the file that the key is made of; none if it is a column of its own."""
        return list(self.sources) if self.columns[self.key].row_hash else []

    @property
    def fingerprint(self) -> str:
        """A digest of what makes a model one of this table: `model.other_table` says what differs.

        Words for people are no part of it, nor are columns that the model does not take.
        """
        words = {"source", "meaning", "values", "required"}
        asked = {
            "key": self.key,
            "made_from": self.made_from,
            "target": self.target.model_dump(),
            "inputs": {name: each.model_dump(exclude=words) for name, each in self.inputs.items()},
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def sources(self) -> dict[str, str]:
        """The name in the table by name in the file, in the table's order."""
        return {
            column.source or name: name
            for name, column in self.columns.items()
            if not column.row_hash
        }

    def source(self, name: str) -> str:
        """Return the name of a column in the file, for messages to people who know the file."""
        return self.columns[name].source or name

    @property
    def group_column(self) -> str:
        """The column that splits and folds hash."""
        return self.group or self.key

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers."""
        return tuple(name for name, column in self.columns.items() if column.is_number)

    @property
    def slices_by_name(self) -> dict[str, Slice]:
        """The slices by the column that they have in tables of test rows."""
        texts = self.slices
        if texts is None:
            kinds = {"category", "boolean"}
            found = (n for n, each in self.inputs.items() if each.kind in kinds and n != self.group)
            texts = tuple(found)[:DEFAULT_SLICES]
        return by_name(texts, {self.key, self.target.column, *RESERVED})

    @model_validator(mode="after")
    def _check_slices(self) -> Self:
        for text in self.slices or ():
            name = parse(text).column
            if name not in self.columns:
                raise ValueError(
                    f"slices has {text!r}, and columns has no {name}: write a column, or "
                    f"column = 'value'; it has {', '.join(self.columns)}"
                )
            if name in {self.key, self.target.column} or self.columns[name].is_number:
                raise ValueError(
                    f"slices has {text!r}: {name} is the key, the target or a number, which "
                    "cannot be a slice; write another column"
                )
        return self

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        named = {"key": self.key, "target.column": self.target.column, "group": self.group}
        for role, name in named.items():
            if name is not None and name not in self.columns:
                raise ValueError(
                    f"{role} is {name}, which columns lacks; it has {', '.join(self.columns)}"
                )
        if self.key == self.target.column:
            raise ValueError(f"key and target.column are both {self.key}")
        for role, name in named.items():
            kinds = {"number"} if role == "group" else {"number", "set"}
            if name is not None and (kind := self.columns[name].kind) in kinds:
                raise ValueError(f"{role} is {name}, of the kind {kind}: write id or category")
        for role in ("key", "target.column"):
            if not self.columns[str(named[role])].required:
                raise ValueError(f"{role} is {named[role]}, which cannot be `required: false`")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        made = [name for name, column in self.columns.items() if column.row_hash]
        if other := [name for name in made if name != self.key]:
            raise ValueError(f"{other[0]} has row_hash: true, which is for the key, {self.key}")
        if reserved := sorted(RESERVED & self.columns.keys()):
            raise ValueError(f"columns has {', '.join(reserved)}, which the project adds: rename")
        sources = [self.source(name) for name in self.columns]
        if twice := sorted({name for name in sources if sources.count(name) > 1}):
            raise ValueError(f"several columns have the source {', '.join(twice)}")
        return self
