"""The language layer: which Python a user may write, as a policy on top of RestrictedPython's.

It is a second line of defence and the source of clear messages; the boundary is the kernel layer. What it leaves out of
RestrictedPython's guards, and why that costs nothing here, is told in docs/explain/sandbox.md.
"""

# ruff: noqa: D102, N802, N815 - methods are named for AST nodes by the base class, which also says what each is for.
from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from typing import Any, TypeVar

from RestrictedPython.transformer import RestrictingNodeTransformer, copy_locations

from tasks.sandbox.names import (
    CLASS_SETTINGS,
    READABLE_NAMES,
    SPECIAL_METHODS,
    Access,
    access,
    is_reserved,
    may_write,
)
from tasks.sandbox.problems import Problem, instead_of_import, instead_of_name

_Node = TypeVar("_Node", bound=ast.expr | ast.stmt)


class Policy(RestrictingNodeTransformer):
    """Collects everything that is not allowed and rewrites imports and guarded attributes."""

    def __init__(self, exports: Mapping[str, frozenset[str]], builtin_names: frozenset[str]) -> None:
        super().__init__()
        self._exports = exports
        self._builtin_names = builtin_names
        self._class_depth: list[bool] = []
        self._bound: set[str] = set()
        self._loads: list[ast.Name] = []
        self.problems: list[Problem] = []

    def examine(self, tree: ast.Module) -> ast.Module:
        """The tree to compile; `problems` holds what is wrong with it."""
        self.visit(tree)
        self._check_loads()
        self.problems.sort(key=lambda problem: (problem.line, problem.column))
        return ast.fix_missing_locations(tree)

    # --- Reporting

    def refuse(self, node: ast.AST, code: str, message: str) -> None:
        """Records one violation at the place of `node`."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        self.problems.append(Problem(code=code, message=message, line=line, column=column))

    def error(self, node: ast.AST, info: str) -> None:
        self.refuse(node, "not_allowed", info)

    def not_allowed(self, node: ast.AST) -> None:
        what = type(node).__name__
        self.refuse(node, "not_allowed", UNSUPPORTED.get(what, f"{what} statements are not allowed; write it without."))

    # --- Names

    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        """Refuses to bind a name that belongs to Python or to the guards."""
        if name is None:
            return
        self._bound.add(name)
        in_class = bool(self._class_depth) and self._class_depth[-1]
        if not is_reserved(name):
            return
        setting = name in CLASS_SETTINGS and isinstance(node, ast.Name)  # by assignment only, where it can be read
        if in_class and (setting or (allow_magic_methods and name in SPECIAL_METHODS)):
            return
        self.refuse(
            node, "name_not_allowed", f"The name {name} is reserved; use a name without underscores at both ends."
        )

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            self.check_name(node, node.id, allow_magic_methods=True)
        elif is_reserved(node.id) and node.id not in READABLE_NAMES and not self._own_method(node.id):
            self.refuse(node, "name_not_allowed", f"The name {node.id} is reserved and cannot be used.")
        else:
            self._loads.append(node)
        return node

    def _own_method(self, name: str) -> bool:
        """`__radd__ = __add__` in a class body."""
        return bool(self._class_depth) and self._class_depth[-1] and name in SPECIAL_METHODS

    def _check_loads(self) -> None:
        """Builtins that are kept out are refused where nothing in the source could have bound their name."""
        for node in self._loads:
            name = node.id
            if name in self._bound or name in self._builtin_names or name in READABLE_NAMES:
                continue
            if hasattr(builtins, name):
                self.refuse(node, "name_not_allowed", instead_of_name(name))

    def visit_Global(self, node: ast.Global) -> ast.AST:
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        for name in node.names:
            self.check_name(node, name)
        return node

    # --- Attributes: names that mean the same on every object stay as they are, so that ordinary code keeps its speed

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node = self.node_contents_visit(node)
        name = node.attr
        if not isinstance(node.ctx, ast.Load):
            if not may_write(name):
                self._refuse_attribute(node, f"The attribute {name} cannot be changed")
            return node
        allowed = access(name)
        if allowed is Access.DENIED:
            self._refuse_attribute(node, f"The attribute {name} cannot be read")
        if allowed is not Access.GUARDED:
            return node
        return _located(_call("_getattr_", node.value, ast.Constant(name)), node)

    def _refuse_attribute(self, node: ast.Attribute, what: str) -> None:
        # Points at the attribute, not at the start of a chain that may begin lines earlier.
        at = ast.copy_location(ast.Pass(), node)
        if node.end_lineno is not None and node.end_col_offset is not None:
            at.lineno, at.col_offset = node.end_lineno, max(node.end_col_offset - len(node.attr.encode()), 0)
        self.refuse(
            at, "attribute_not_allowed", f"{what}: it leads into the interpreter; use the object's own methods."
        )

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        target = node.target
        if isinstance(target, ast.Attribute) and access(target.attr) is Access.GUARDED:
            self.refuse(node, "attribute_not_allowed", f"Write x.{target.attr} = … in full; it cannot be augmented.")
        return self.node_contents_visit(node)

    # --- Native where RestrictedPython would wrap: a run has nothing to protect inside its own process

    def _plain(self, node: ast.AST) -> ast.AST:
        return self.node_contents_visit(node)

    visit_Subscript = visit_Assign = visit_With = visit_Match = visit_match_case = _plain
    visit_MatchSingleton = visit_MatchSequence = visit_MatchOr = _plain

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        if node.is_async:
            self.refuse(node.target, "not_allowed", UNSUPPORTED["AsyncFor"])
        return self.node_contents_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        if not _is_for_scripts(node.test):
            return self.node_contents_visit(node)
        # Never true here, so what a script does when it is started may use what a task may not.
        return self._statements(node.orelse) or ast.copy_location(ast.Pass(), node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self.node_contents_visit(node)

    # --- Annotations are never evaluated (compiled as in PEP 563), so they may say anything

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.target = self.visit(node.target)
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        self.check_name(node, node.arg)
        return node

    def check_function_argument_names(self, node: Any) -> None:
        """Done by `visit_arg`, which knows where each argument stands."""

    # --- Definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.check_name(node, node.name, allow_magic_methods=True)
        self._refuse_type_parameters(node)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        node.args = self.visit(node.args)
        with_body = _Scope(self._class_depth, False)
        with with_body:
            node.body = self._statements(node.body)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        with _Scope(self._class_depth, False):
            return self.node_contents_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.check_name(node, node.name)
        self._refuse_type_parameters(node)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg == "metaclass":
                self.refuse(node, "not_allowed", "metaclass= is not allowed; use a base class or a decorator.")
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        node.bases = [self.visit(base) for base in node.bases]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        self._check_match_args(node)
        with _Scope(self._class_depth, True):
            node.body = self._statements(node.body)
        return node

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in body:
            result = self.visit(statement)
            found.extend(result if isinstance(result, list) else [result] if result is not None else [])
        return found

    def _refuse_type_parameters(self, node: ast.AST) -> None:
        if getattr(node, "type_params", None):
            self.refuse(node, "not_allowed", "Type parameters are not allowed; leave them out.")

    def _check_match_args(self, node: ast.ClassDef) -> None:
        """`__match_args__` names attributes that patterns read in C: it must be written out and harmless."""
        mentions = [each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id == "__match_args__"]
        if mentions and not _is_plain_match_args(node, len(mentions)):
            for each in mentions:
                self.refuse(each, "not_allowed", "Write __match_args__ as a tuple of ordinary attribute names.")

    # --- Patterns

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        for name in node.kwd_attrs:
            if access(name) is not Access.NATIVE:
                self.refuse(node, "attribute_not_allowed", f"A pattern cannot read the attribute {name}.")
        return self.node_contents_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        for part in ast.walk(node.value):
            if isinstance(part, ast.Attribute) and access(part.attr) is not Access.NATIVE:
                self.refuse(part, "attribute_not_allowed", f"A pattern cannot read the attribute {part.attr}.")
                return node
        return self.node_contents_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        self.check_name(node, node.name)
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        self.check_name(node, node.rest)
        return self.node_contents_visit(node)

    # --- Imports become assignments from facades

    def visit_Import(self, node: ast.Import) -> Any:
        made: list[ast.stmt] = []
        for alias in node.names:
            top = alias.name.partition(".")[0]
            bound = alias.asname or top
            self.check_name(node, bound)
            if alias.name not in self._exports:
                self.refuse(node, "import_not_allowed", instead_of_import(alias.name, self._exports))
                continue
            made.append(self._binding(node, bound, alias.name if alias.asname else top))
        return made or ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        module = node.module or ""
        if module == "__future__" and not node.level:
            return ast.copy_location(ast.Pass(), node)
        if node.level or module not in self._exports:
            self.refuse(node, "import_not_allowed", instead_of_import("." * node.level + module, self._exports))
            for alias in node.names:
                self._bound.add(alias.asname or alias.name)
            return ast.copy_location(ast.Pass(), node)
        made: list[ast.stmt] = []
        for name, bound in self._imported(node, module):
            self.check_name(node, bound)
            if name not in self._exports[module]:
                self.refuse(node, "import_not_allowed", f"{module} has no {name} here; import a public name of it.")
                continue
            made.append(self._binding(node, bound, module, name))
        return made or ast.copy_location(ast.Pass(), node)

    def _imported(self, node: ast.ImportFrom, module: str) -> list[tuple[str, str]]:
        if [alias.name for alias in node.names] == ["*"]:
            return [(name, name) for name in sorted(self._exports[module])]
        return [(alias.name, alias.asname or alias.name) for alias in node.names]

    def _binding(self, node: ast.stmt, bound: str, module: str, name: str | None = None) -> ast.stmt:
        value: ast.expr = _call("_import_", ast.Constant(module))
        if name is not None:
            value = ast.Attribute(value=value, attr=name, ctx=ast.Load())
        return _located(ast.Assign(targets=[ast.Name(bound, ast.Store())], value=value), node)


class _Scope:
    """Whether the statements inside stand directly in a class body."""

    def __init__(self, stack: list[bool], in_class: bool) -> None:
        self._stack = stack
        self._in_class = in_class

    def __enter__(self) -> None:
        self._stack.append(self._in_class)

    def __exit__(self, *_: object) -> None:
        self._stack.pop()


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(function, ast.Load()), args=list(arguments), keywords=[])


def _located(new: _Node, old: ast.expr | ast.stmt) -> _Node:
    copy_locations(new, old)
    return new


def _is_for_scripts(test: ast.expr) -> bool:
    """`__name__ == "__main__"`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    left, right = test.left, test.comparators[0]
    named = isinstance(left, ast.Name) and left.id == "__name__"
    return named and isinstance(right, ast.Constant) and right.value == "__main__"


def _is_plain_match_args(node: ast.ClassDef, mentions: int) -> bool:
    for statement in node.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Tuple):
            continue
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        if names == ["__match_args__"]:
            parts = [part.value if isinstance(part, ast.Constant) else None for part in statement.value.elts]
            return mentions == 1 and all(isinstance(part, str) and access(part) is Access.NATIVE for part in parts)
    return False


UNSUPPORTED = {
    "AsyncFunctionDef": "async def is not allowed; write an ordinary def.",
    "AsyncFor": "async for is not allowed; write an ordinary for.",
    "AsyncWith": "async with is not allowed; write an ordinary with.",
    "Await": "await is not allowed; call an ordinary function.",
    "TryStar": "except* is not allowed; write except.",
    "TypeAlias": "type statements are not allowed; leave it out.",
    "TemplateStr": "t-strings are not allowed; write an f-string.",
}
