"""The small ways in which a module can be wrong: each mutant differs from its source in one place.

The mutations are those that people make: a bound that is off by one, a comparison or a condition turned round, a term,
a statement or an argument forgotten, a result not given back, an exception not caught, a word misspelt. Annotations,
docstrings and the wording of messages are left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_OPPOSITES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_COUNT: Final = re.compile(r"(?<=[{,])\d+(?=[,}])")  # in a regular expression


@dataclass(frozen=True, slots=True)
class Mutant:
    """`text` is the line of the source where it differs, `change` how; `number` tells it from others that read alike
    in the same module."""

    line: int
    text: str
    change: str
    number: int
    place: int  # of the node that differs, in the order of the walk
    choice: int  # among what could stand there

    @property
    def name(self) -> str:
        return f"{self.change} ({self.number})" if self.number > 1 else self.change


def mutants_of(source: str) -> list[Mutant]:
    """All of them, in the order of the source."""
    lines, seen, found = source.splitlines(), dict[tuple[str, str], int](), list[Mutant]()
    for place, node in enumerate(_walked(ast.parse(source))):
        for choice, other in enumerate(_alternatives(node)):
            line = _line(node)
            text, change = lines[line - 1].strip(), _described(node, other)
            number = seen[text, change] = seen.get((text, change), 0) + 1
            found.append(Mutant(line, text, change, number, place, choice))
    return found


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """`source` with the one difference."""
    tree = ast.parse(source)
    node = next(islice(_walked(tree), mutant.place, None))
    _put(tree, node, next(islice(_alternatives(node), mutant.choice, None)))
    return ast.fix_missing_locations(tree)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """What may be mutated, outermost first."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
            continue  # is changed as one
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_prose(node, child):
                yield from _walked(child)


def _is_prose(parent: ast.AST, node: ast.AST) -> bool:
    """A docstring, the body of a Protocol's method, the words of a message, or a type."""
    if isinstance(node, ast.Expr | ast.FormattedValue) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(parent, ast.JoinedStr) and isinstance(node, ast.Constant):
        return True
    if isinstance(parent, ast.FormattedValue) and isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        return True  # an excerpt
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


def _alternatives(node: ast.AST) -> Iterator[ast.AST | None]:
    """What could stand in the place of `node`; None where it could be missing."""
    match node:
        case ast.Compare():
            yield from _compared(node)
        case ast.BinOp(left=ast.Constant(value=int(count)), right=ast.Constant()):  # a size
            yield ast.BinOp(ast.Constant(2 * count), node.op, node.right)
            yield ast.BinOp(node.left, ast.Add(), node.right)
        case ast.BinOp() if type(node.op) in _OPERATORS:
            yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            yield from _shortened(node)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant():
            yield from _constants(node)
        case ast.Call():
            yield from _calls(node)
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.comprehension() if node.ifs:
            yield ast.comprehension(node.target, node.iter, [], node.is_async)
        case ast.ExceptHandler(type=ast.Tuple(elts=kinds)):
            for kind in kinds:
                rest = ast.Tuple([other for other in kinds if other is not kind], ast.Load())
                yield ast.ExceptHandler(rest, node.name, node.body)
        case _:
            yield from _statements(node)


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for place, op in enumerate(node.ops):
        for other in _COMPARISONS[type(op)]:
            yield ast.Compare(node.left, [*node.ops[:place], other(), *node.ops[place + 1 :]], node.comparators)


def _shortened(node: ast.BoolOp) -> Iterator[ast.AST]:
    for left_out in node.values:
        rest = [value for value in node.values if value is not left_out]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case float(value):
            yield from (ast.Constant(other) for other in ((float(f"{value * 1.5:g}"), value / 2) if value else (1.0,)))
        case str(value) if counts := list(_COUNT.finditer(value)):
            for count in counts:
                yield ast.Constant(f"{value[: count.start()]}{int(count[0]) + 1}{value[count.end() :]}")
        case str(value) if " " not in value.strip():  # else it is prose
            yield ast.Constant(f"{value}!")


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Name) and node.func.id in _OPPOSITES:
        yield ast.Call(ast.Name(_OPPOSITES[node.func.id], ast.Load()), node.args, node.keywords)
    for keyword in node.keywords:
        if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool):
            continue  # is turned round by itself
        yield ast.Call(node.func, node.args, [other for other in node.keywords if other is not keyword])


def _statements(node: ast.AST) -> Iterator[ast.AST | None]:
    match node:
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.If() | ast.While():
            if not isinstance(node.test, ast.Compare | ast.UnaryOp):
                yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
            yield from ([None] if isinstance(node, ast.If) and not node.orelse else [])
        case ast.Expr() | ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break() | ast.Assert():
            yield None
        case ast.Assign(targets=[ast.Name() | ast.Subscript() | ast.Attribute()]):
            yield None


def _put(tree: ast.Module, old: ast.AST, new: ast.AST | None) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new or ast.Pass())
                return
            if isinstance(value, list) and any(item is old for item in value):
                place = next(n for n, item in enumerate(value) if item is old)
                value[place] = new or ast.Pass()
                return


def _line(node: ast.AST) -> int:
    if isinstance(node, ast.comprehension):
        return node.target.lineno
    return int(getattr(node, "lineno", 1))


def _described(old: ast.AST, new: ast.AST | None) -> str:
    if new is None:
        first = "if" if isinstance(old, ast.If) else "statement"
        return f"{first} left out"
    if isinstance(old, ast.If | ast.While):
        return "condition turned round"
    return f"{_shown(old)} -> {_shown(new)}"


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.ExceptHandler):
        return f"except {ast.unparse(node.type)}" if node.type else "except"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:34]}..{text[-34:]}"
