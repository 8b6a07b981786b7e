"""Import Linter's contracts, which `make lint` checks, that also see what is loaded by its name.

`load_module("bayes_rpp.priors.pyro")` is an import as any other, and so is `load_module(f"bayes_rpp.priors.{engine}")`
of each engine. Not so what a method calls its home, which is above it by design.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.layers import LayersContract

LOADERS = {"load_module", "import_module"}
ENGINES = {"pyro", "numpyro", "torch", "jax"}


class Layers(LayersContract):
    """`layers`, of these imports too."""

    def check(self, graph: Any, verbose: bool) -> Any:
        return super().check(with_names(graph), verbose)


class AcyclicSiblings(AcyclicSiblingsContract):
    """`acyclic_siblings`, of these imports too."""

    def check(self, graph: Any, verbose: bool) -> Any:
        return super().check(with_names(graph), verbose)


def with_names(graph: Any) -> Any:
    """The graph, to which what is loaded by name is added."""
    modules = set(graph.modules)
    for module in sorted(modules):
        spec = find_spec(module)
        source = Path(spec.origin).read_text() if spec and spec.origin else ""
        for line, pattern in loaded(source):
            for found in modules:
                alike = found.count(".") == pattern.count(".") and fnmatchcase(found, pattern)
                if found == pattern or (alike and found.rpartition(".")[2] in ENGINES):
                    graph.add_import(importer=module, imported=found, line_number=line, line_contents=pattern)
    return graph


def loaded(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each module that is loaded by a text; * stands where the text has a variable."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
        if name in LOADERS and any(isinstance(p, ast.Constant) for p in parts):
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in parts)
