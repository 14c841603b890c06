"""What a user's template may do: show fields, choose and repeat; nothing that grows or reaches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

Part = Literal["title", "text"]

TEMPLATE_CHARACTERS_MAX = 10_000
RENDERED_CHARACTERS_MAX = 20_000
LOOPS_DEEP_MAX = 2
# Chains of 'join' or 'replace' multiply what they are given: those two are left out.
FILTERS = (
    *("capitalize", "default", "first", "last", "length", "lower", "title", "trim", "truncate"),
    "upper",
)
# Neither calls nor assignments nor arithmetic: with them one line can fill the memory.
_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const),
    *(nodes.Getattr, nodes.Getitem, nodes.For, nodes.If, nodes.CondExpr),
    *(nodes.Filter, nodes.Test, nodes.Keyword, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Concat),
)
_MISHAPS = (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)


class TemplateFault(ValueError):
    """A sentence that says what is wrong with a template."""


def render_template(template: str, fields: Mapping[str, Any], part: Part) -> str:
    """The words of a template over these fields; what is longer than can be sent is left out.

    Raises TemplateFault where it does not compile, names an unknown field or does more than show.
    """
    made = _compile(template, tuple(sorted(fields)), part)
    words: list[str] = []
    count = 0
    try:
        for piece in made.generate(fields):
            words.append(piece)
            count += len(piece)
            if count > RENDERED_CHARACTERS_MAX:
                break
    except _MISHAPS as error:
        raise TemplateFault(f"the {part} template fails: {_said(error)}") from error
    return "".join(words)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in FILTERS}
    return made


def _compile(template: str, names: tuple[str, ...], part: Part) -> Template:
    if len(template) > TEMPLATE_CHARACTERS_MAX:
        said = f"the {part} template is longer than {TEMPLATE_CHARACTERS_MAX} characters"
        raise TemplateFault(said)
    try:
        tree = _environment().parse(template)
        _check_nodes(tree, part)
        unknown = sorted(meta.find_undeclared_variables(tree) - set(names))
        if unknown:
            known = ", ".join(names)
            said = f"the {part} template names the unknown field '{unknown[0]}'; known: {known}"
            raise TemplateFault(said)
        return _environment().from_string(template)
    except TemplateFault:
        raise
    except _MISHAPS as error:
        line = f" in line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        said = f"the {part} template does not compile{line}: {_said(error)}"
        raise TemplateFault(said) from error


def _said(error: Exception) -> str:
    # As text, Jinja's errors would also quote a file that is not there.
    return (error.message if isinstance(error, TemplateError) else None) or str(error)


def _check_nodes(tree: nodes.Template, part: Part) -> None:
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            what = type(node).__name__.lower()
            raise TemplateFault(
                f"the {part} template may not use '{what}' (line {node.lineno}): "
                "it may show fields, choose with 'if' and repeat with 'for'"
            )
    if _loops_deep(tree) > LOOPS_DEEP_MAX:
        raise TemplateFault(f"the {part} template nests more than {LOOPS_DEEP_MAX} loops")


def _loops_deep(node: nodes.Node) -> int:
    inner = max(map(_loops_deep, node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)
