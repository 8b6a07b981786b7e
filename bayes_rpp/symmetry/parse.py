"""Groups and representations from text, as the command line gives them: "SO(2) * Trivial(1)", "5*Scalar + 5*Vector".

The text is read with Python's grammar into a tree, and only nodes on a white list are followed: nothing is evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from bayes_rpp.symmetry import groups, representations
from bayes_rpp.symmetry.groups import Group
from bayes_rpp.symmetry.point_groups import NAMES, point_group
from bayes_rpp.symmetry.representations import Rep

LONGEST, DEEPEST = 2000, 50
LARGEST, LARGEST_FINITE, LARGEST_LIE = 10_000, 1000, 50  # copies, and sizes of groups: so(n) has n^2 / 2 matrices n x n
_REPS = {name: getattr(representations, name) for name in ("Scalar", "Vector", "Pseudoscalar", "Regular")}
_GROUPS: dict[str, tuple[Callable[..., Group], int, int]] = {
    **{name: (getattr(groups, name), 1, 1) for name in ("O", "SO", "SL", "Sp", "S", "Z", "D", "Trivial")},
    "Lorentz": (groups.Lorentz, 0, 0),
    "Group": (Group, 1, 3),
}
# e3nn's irreducible parts of O(3), "2x0e + 1o"; 1e is an axial vector, such as a magnetic field.
_IRREPS = {"0e": "Scalar", "0o": "Pseudoscalar", "1o": "Vector", "1e": "(Pseudoscalar * Vector)"}
_IRREP = re.compile(r"(?<![\w.])(?:(\d+)\s*x\s*)?(\d+[eo])(?!\w)")
REP_HELP = (
    "Scalar, Vector, Pseudoscalar, Regular, T(p, q), 3 * a, a + b, a * b, a ** 2, a.dual, a.on(0), and 0e, 0o, 1o, 1e, "
    "as in 2x0e + 1o"
)
GROUP_HELP = (
    "O(n), SO(n), SO(2, axis=(0, 0, 1)), SL(n), Sp(n), Lorentz(), S(n), Z(n), D(n), Trivial(n), products with *, such "
    "as SO(2) * Trivial(1) for the rotations about z, Group(dim, [lie algebra], [generators]) with matrices as nested "
    f"lists, and on R^3 the point groups {NAMES} and the like"
)


def parse_rep(text: str) -> Rep:
    """The representation that a text names, such as "5*Scalar + 5*Vector", "T(2)" or "Vector.on(0) * Vector.on(1)".

    Raises:
        TypeError, ValueError: if the text is no string, or something in it is no representation; says what.
    """
    value = _parse(_IRREP.sub(_irrep, text) if isinstance(text, str) else text, _rep)
    if not isinstance(value, Rep):
        raise ValueError(f"text must say how a group acts, got {text!r}, a number; {value} * Scalar would do")
    return value


def parse_group(text: str) -> Group:
    """The group that a text names, such as "O(3)", "SO(2) * Trivial(1)" (rotations about z) or "S(5) * O(3)".

    Raises:
        TypeError, ValueError: if the text is no string, or something in it is no group; says what.
    """
    found = _parse(text, _group)
    assert isinstance(found, Group)
    return found


def parse_groups(text: str) -> Group | list[Group]:
    """A group, or a list of groups in brackets, such as "[SO(2) * Trivial(1), Trivial(1) * SO(2)]".

    Raises:
        TypeError, ValueError: as `parse_group`.
    """
    found: Group | list[Group] = _parse(text, _group_or_list)
    return found


def parse_named_group(text: str) -> tuple[str, Group | list[Group]]:
    """A group, or a list, with the name to show it by: "none=Trivial(3)"; without one, the text itself is the name."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r}; 'none=Trivial(3)' would do")
    signs = [k for k, sign in enumerate(text) if sign == "="]
    outside = [k for k in signs if text[:k].count("(") <= text[:k].count(")")]  # of Group(2, ..., exact=True)
    if not outside:
        return text.strip(), parse_groups(text)
    name, group = text[: outside[-1]].strip(), text[outside[-1] + 1 :].strip()
    return name or group, parse_groups(group)


def _irrep(found: re.Match[str]) -> str:
    if found[2] not in _IRREPS:
        held = f"T({found[2][:-1]}), which holds it,"
        raise ValueError(f"{found[0]!r} must be one of {', '.join(_IRREPS)}; {held} would do")
    return f"{found[1]} * {_IRREPS[found[2]]}" if found[1] else _IRREPS[found[2]]


def _parse(text: Any, read: Callable[[ast.expr, str], Any]) -> Any:
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r}; '5*Scalar + 5*Vector' or 'O(3)' would do")
    wanted = REP_HELP if read is _rep else GROUP_HELP
    if not text.strip():
        raise ValueError(f"text must not be empty, got {text!r}; what would do: {wanted}")
    if len(text) > LONGEST:
        raise ValueError(f"text must have up to {LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if _depth(tree.body) > DEEPEST:
            raise ValueError(f"{_short(text)!r} is nested more than {DEEPEST} deep")
        return read(tree.body, text.strip())
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{_short(text)!r} cannot be read; what would do: {wanted}") from error


def _rep(node: ast.expr, text: str) -> Any:
    """A Rep, or a whole number that is to multiply one."""
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return _size(number, text)
        case ast.Name(id=name) if name in _REPS:
            return _REPS[name]
        case ast.Call(func=ast.Name(id="T"), args=args, keywords=[]) if len(args) in (1, 2):
            return representations.T(*(_whole(a, text) for a in args))
        case ast.Call(func=ast.Attribute(value=inner, attr="on"), args=[index], keywords=[]):
            return _of_rep(inner, text).on(_whole(index, text))
        case ast.Attribute(value=inner, attr="dual"):
            return _of_rep(inner, text).dual
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            power = _whole(right, text)
            if power > 10:
                raise ValueError(f"{_part(node, text)!r} must have a power up to 10")
            return _of_rep(left, text) ** power
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _of_rep(left, text) + _of_rep(right, text)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            a, b = _rep(left, text), _rep(right, text)
            return b * a if isinstance(a, Rep) and isinstance(b, int) else a * b
    raise ValueError(f"{_part(node, text)!r} in {_short(text)!r} is not understood; what would do: {REP_HELP}")


def _of_rep(node: ast.expr, text: str) -> Rep:
    found = _rep(node, text)
    if not isinstance(found, Rep):
        raise ValueError(f"{found} in {_short(text)!r} must be a representation; {found} * Scalar would do")
    return found


def _group_or_list(node: ast.expr, text: str) -> Group | list[Group]:
    return [_group(e, text) for e in node.elts] if isinstance(node, ast.List) else _group(node, text)


def _group(node: ast.expr, text: str) -> Group:
    match node:
        case ast.Call(func=ast.Name(id="SO"), args=[n], keywords=[ast.keyword(arg="axis", value=axis)]):
            return groups.SO(_whole(n, text, LARGEST_LIE), axis=_matrix(axis, text))
        case ast.Name(id=name) if (named := point_group(name)) is not None:
            return named
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _group(left, text) * _group(right, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=options) if name in _GROUPS and _known(name, options):
            make, least, most = _GROUPS[name]
            if not least <= len(args) <= most:
                wanted = f"{least}" if least == most else f"{least} to {most}"
                raise ValueError(f"{_part(node, text)!r} must have {wanted} argument(s), got {len(args)}")
            limit = LARGEST_FINITE if name in ("S", "Z", "D", "Trivial", "Group") else LARGEST_LIE
            first = [_whole(a, text, limit) for a in args[:1]]
            return make(*first, *(_matrix(a, text) for a in args[1:]), **dict.fromkeys(["exact"] * len(options), True))
    raise ValueError(f"{_part(node, text)!r} in {_short(text)!r} is not understood; what would do: {GROUP_HELP}")


def _known(name: str, options: list[ast.keyword]) -> bool:
    """Whether they are none, or those of Group(..., exact=True)."""
    match options:
        case [ast.keyword(arg="exact", value=ast.Constant(value=True))]:
            return name == "Group"
    return not options


def _whole(node: ast.expr, text: str, largest: int = LARGEST) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return _size(node.value, text, largest)
    raise ValueError(f"{_part(node, text)!r} in {_short(text)!r} must be a whole number; 3 would do")


def _size(value: int, text: str, largest: int = LARGEST) -> int:
    if value > largest:
        raise ValueError(f"{value} in {_short(text)!r} must be up to {largest}")
    return value


def _matrix(node: ast.expr, text: str) -> Any:
    """Nested lists of numbers."""
    match node:
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_matrix(e, text) for e in elements]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() | complex())):
            return -node.operand.value  # type: ignore[attr-defined]
        case ast.Constant(value=int() | float() | complex()):  # Group says how complex ones are made real
            return node.value
    raise ValueError(
        f"{_part(node, text)!r} in {_short(text)!r} must be a list of matrices; [[[0, -1], [1, 0]]] would do"
    )


def _depth(node: ast.AST) -> int:
    """Depth of the tree, without recursion."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        here, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(here)]
    return deepest


def _part(node: ast.expr, text: str) -> str:
    return _short(ast.get_source_segment(text, node) or text)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
