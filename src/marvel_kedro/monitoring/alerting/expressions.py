"""Metric expressions of alert rules: columns of a table and arithmetic on them, as text."""

import ast
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Floats

_OPERATORS: dict[type[ast.operator], Callable[..., Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_FUNCTIONS: dict[str, Callable[..., Floats]] = {
    "abs": np.abs,
    "first": lambda *values: reduce(lambda a, b: np.where(np.isnan(a), b, a), values),
    "hypot": lambda *values: np.sqrt(reduce(np.add, (value * value for value in values))),
    "max": lambda *values: reduce(np.maximum, values),
    "min": lambda *values: reduce(np.minimum, values),
}


def values(expression: str, table: pa.Table) -> Floats:
    """Evaluate an expression for every row of a table.

    An expression consists of columns (`estimate`; dotted within a struct or a map, such as
    `ks_test.statistic`), numbers, `+ - * /`, and the functions `abs`, `max`, `min`, `hypot` (the
    root of the sum of squares) and `first` (its first argument that the row has): such as
    `first(js_distance, ks_test.statistic)`.

    Returns:
        Shape (rows,); NaN where a value is missing or the result is not finite, such as 0 / 0.

    Raises:
        ValueError: The expression is invalid, or the table lacks a column.
    """
    with np.errstate(all="ignore"):
        found = np.broadcast_to(_value(_parse(expression), table), table.num_rows)
    return np.where(np.isfinite(found), found, np.nan)


def check(expression: str, schema: pa.Schema) -> None:
    """Check that an expression can be evaluated for a table of a schema.

    Raises:
        ValueError: It cannot, with the reason.
    """
    values(expression, schema.empty_table())


def columns(expression: str) -> list[str]:
    """Return the dotted names in an expression.

    Raises:
        ValueError: The expression is invalid.
    """
    return list(_names(_parse(expression)))


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"'{expression}' is not a valid expression") from None


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, (ast.Name, ast.Attribute)):
        yield ast.unparse(node)
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
            yield from _names(child)


def _value(node: ast.expr, table: pa.Table) -> Any:  # noqa: ANN401 - an array or a number
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number):
            return np.float64(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, table)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](_value(left, table), _value(right, table))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as arguments, keywords=[]) if (
            name in _FUNCTIONS and (name != "abs" or len(arguments) == 1)
        ):
            return _FUNCTIONS[name](*(_value(argument, table) for argument in arguments))
        case ast.Name() | ast.Attribute():
            return _column(ast.unparse(node), table)
    raise ValueError(
        f"'{ast.unparse(node)}' is not supported: use columns, numbers, + - * / and the functions "
        f"{', '.join(_FUNCTIONS)}"
    )


def _column(dotted: str, table: pa.Table) -> Floats:
    name, *members = dotted.split(".")
    if name not in table.column_names:
        raise ValueError(f"there is no column '{name}'; there are {', '.join(table.column_names)}")
    column = table[name]
    for member in members:
        if pa.types.is_map(column.type):
            column = pc.map_lookup(column, member, "first")
        elif pa.types.is_struct(column.type) and column.type.get_field_index(member) >= 0:
            column = pc.struct_field(column, member)
        else:
            raise ValueError(f"'{dotted}': there is no '{member}' in it")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(f"'{dotted}' is not a number, but {column.type}")
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
