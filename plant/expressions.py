"""Conditions over the signals of a machine, as the plant file writes them: `spindle > 100 and door == 0`.

A small part of Python's grammar, never evaluated as Python: comparisons, `and`, `or`, `not`, `in`, arithmetic on
numbers, texts in quotes. Names are signal ids; one with other characters than letters, digits, `_` and `.` stands
in backquotes. Every comparison is about one signal, so that it can be judged by that signal's samples alone; what
is not known makes a condition unknown unless its outcome does not depend on it (Kleene's strong logic).
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

LONGEST = 1000
"""Characters of a condition."""


@dataclass(frozen=True, slots=True)
class Value:
    """The value of the signal a comparison is about."""


@dataclass(frozen=True, slots=True)
class Calculated:
    """A number worked out of two others; `operator` is one of + - * / // % &."""

    operator: str
    left: "Operand"
    right: "Operand"


Operand: TypeAlias = float | str | Value | Calculated


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right` (== != < <= > >=) about one signal. `text` is how the plant file would write it."""

    signal: str
    operator: str
    left: Operand
    right: Operand
    text: str


@dataclass(frozen=True, slots=True)
class Not:
    """True where the condition is false."""

    of: "Condition"


@dataclass(frozen=True, slots=True)
class AllOf:
    """`and`."""

    of: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`or`."""

    of: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Not | AllOf | AnyOf


class ExpressionError(ValueError):
    """What is wrong with a condition, and as `fix` how to write it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem, self.fix = problem, fix


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """The comparisons in a condition, from left to right."""
    if isinstance(condition, Comparison):
        yield condition
    else:
        for part in (condition.of,) if isinstance(condition, Not) else condition.of:
            yield from comparisons(part)


def truth(condition: Condition, known: Callable[[Comparison], bool | None]) -> bool | None:
    """Whether a condition holds, given its comparisons; None: it depends on one that is not known."""
    if isinstance(condition, Comparison):
        return known(condition)
    if isinstance(condition, Not):
        inner = truth(condition.of, known)
        return None if inner is None else not inner
    decisive = isinstance(condition, AnyOf)
    found: bool | None = not decisive
    for part in condition.of:
        said = truth(part, known)
        if said is decisive:
            return decisive
        if said is None:
            found = None
    return found


@lru_cache(maxsize=10_000)
def parse(text: str) -> Condition:
    """The condition a text says. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"is longer than {LONGEST} characters", "Say it in several rules")
    names: dict[str, str] = {}

    def quoted(match: re.Match[str]) -> str:
        word = f"_{len(names)}_"
        while word in text:
            word = f"_{word}"
        names[word] = match[1]
        return word

    plain = re.sub(r"`([^`]+)`", quoted, text)
    try:
        tree = ast.parse(plain.strip(), mode="eval").body
        return _Reader(names).condition(tree)
    except SyntaxError as error:
        near = plain.strip()[max(0, (error.offset or 1) - 1) :][:20]
        fix = 'Write comparisons joined by and, or, not, such as "spindle > 100 and door == 0"'
        if re.search(r"(?<![=!<>])=(?!=)", plain):
            fix = "Equality is written ==, such as door == 0"
        raise ExpressionError(f'cannot be read near "{near}"' if near else "cannot be read", fix) from None
    except (ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError("cannot be read", "Write fewer brackets, and plain characters") from None


_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_CALCULATE: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.BitAnd: "&",
}
_VALUE = Value()


class _Reader:
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                return AllOf(tuple(self.condition(part) for part in parts))
            case ast.BoolOp(values=parts):
                return AnyOf(tuple(self.condition(part) for part in parts))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return Not(self.condition(inner))
            case ast.Compare(left=left, ops=operators, comparators=others):
                sides = [left, *others]
                found = [
                    self._compare(a, operator, b)
                    for a, operator, b in zip(sides, operators, others, strict=False)
                ]
                return found[0] if len(found) == 1 else AllOf(tuple(found))
            case ast.Name() | ast.Attribute():
                return self._comparison(node, "!=", ast.Constant(0))
        raise ExpressionError(
            f'"{_shown(self._plain(node))}" is neither true nor false',
            "Compare it: ==, !=, <, <=, >, >=, in",
        )

    def _compare(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(operator, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                raise ExpressionError(
                    f'"{_shown(self._plain(right))}" is no list', 'Write mode in ("AUTO", "MDI")'
                )
            among = AnyOf(tuple(self._comparison(left, "==", each) for each in right.elts))
            return Not(among) if isinstance(operator, ast.NotIn) else among
        if type(operator) not in _COMPARE:
            raise ExpressionError('"is" is not known here', "Write ==")
        return self._comparison(left, _COMPARE[type(operator)], right)

    def _comparison(self, left: ast.expr, operator: str, right: ast.expr) -> Comparison:
        text = f"{self._plain(left)} {operator} {self._plain(right)}"
        signals: list[str] = []
        one, two = self._operand(left, signals), self._operand(right, signals)
        distinct = list(dict.fromkeys(signals))
        if len(distinct) > 1:
            raise ExpressionError(
                f'"{_shown(text)}" compares {" and ".join(distinct[:2])} with each other',
                "Compare each signal with a constant, or have the PLC compare them",
            )
        if not distinct:
            raise ExpressionError(f'"{_shown(text)}" is about no signal', "Name a signal of the machine")
        worded = [side for side in (one, two) if isinstance(side, str)]
        if worded and (
            operator not in ("==", "!=") or not all(s == _VALUE or s in worded for s in (one, two))
        ):
            raise ExpressionError(
                f'"{_shown(text)}" does not make sense of a text',
                'Texts are compared by == and !=, as in mode == "AUTO"',
            )
        return Comparison(distinct[0], operator, one, two, text)

    def _operand(self, node: ast.expr, signals: list[str]) -> Operand:
        match node:
            case ast.Constant(value=bool() as said):
                return float(said)
            case ast.Constant(value=int() | float() as number) if abs(number) < 1e300:
                return float(number)
            case ast.Constant(value=str() as word):
                return word
            case ast.Name() | ast.Attribute():
                signals.append(self._signal(node))
                return _VALUE
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return Calculated("-", 0.0, self._number(inner, signals))
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return self._number(inner, signals)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _CALCULATE:
                sides = self._number(left, signals), self._number(right, signals)
                return Calculated(_CALCULATE[type(operator)], *sides)
        raise ExpressionError(
            f'"{_shown(self._plain(node))}" is not known here',
            "Use signals, numbers, texts in quotes, + - * / // % &, comparisons, and, or, not, in",
        )

    def _number(self, node: ast.expr, signals: list[str]) -> Operand:
        found = self._operand(node, signals)
        if isinstance(found, str):
            raise ExpressionError(f'"{found}" is no number', "Calculate with numbers only")
        return found

    def _signal(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self._signal(node.value)}.{node.attr}"
        raise ExpressionError(
            f'"{_shown(self._plain(node))}" is no signal', "Write its id, in backquotes if need be"
        )

    def _plain(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for word, name in self._names.items():
            text = text.replace(word, f"`{name}`")
        return text


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
