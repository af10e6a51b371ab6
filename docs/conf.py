"""How the documentation is built: ``sphinx-build -W -b html docs docs/_build/html``."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Literal, get_args, get_origin

import ophyd_async.core  # noqa: F401  # autodoc's own first import, with TYPE_CHECKING set, breaks pydantic on it
from sphinx.application import Sphinx

from sdl.problem.value import Value

project = "sdl"
project_copyright = "the sdl contributors"
author = "the sdl contributors"
version = release = version_of("sdl")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sdl {version}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    # A value's pydantic machinery would bury the few lines that its docstring has.
    "exclude-members": "model_config, model_post_init, positional",
}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def signature_of_value(
    _app: object, what: str, _name: str, found: object, *_rest: object
) -> tuple[str, str | None] | None:
    """Write the signature of a value as a user calls it; pydantic's own is full of its machinery."""
    if what != "class" or not (isinstance(found, type) and issubclass(found, Value)):
        return None
    shown: list[str] = []
    for field, info in found.model_fields.items():
        if get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1:
            continue  # which of several kinds it is follows from the class
        if field not in found.positional and "*" not in shown:
            shown.append("*")
        shown.append(field if info.is_required() else f"{field}={info.get_default(call_default_factory=True)!r}")
    return f"({', '.join(shown)})", None


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", signature_of_value)
