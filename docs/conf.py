"""How the documentation is built: ``sphinx-build -W -b html docs docs/_build/html``."""

from __future__ import annotations

from importlib.metadata import version as version_of

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

autodoc_default_options = {"members": True, "show-inheritance": False, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# A value's model fields and pydantic's own machinery would bury the few lines that its docstring has.
autodoc_default_options["exclude-members"] = "model_config, model_post_init, positional"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
