"""Export: notebooks as HTML pages whose pictures carry their descriptions."""

from __future__ import annotations

from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter

from companion.course.places import write_whole

# nbconvert's own block ignores the description in the output's metadata.
TEMPLATE = """\
{% extends 'lab/index.html.j2' %}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
 alt="{{ output | get_metadata('alt', 'image/png') | escape_html }}">
</div>
{% endblock data_png %}
"""


def export(notebooks: list[Path], folder: Path) -> list[Path]:
    """Write each executed notebook as one HTML page into a folder."""
    loader = DictLoader({"described.html.j2": TEMPLATE})
    exporter = HTMLExporter(extra_loaders=[loader], template_file="described.html.j2")
    pages = []
    for path in notebooks:
        page, _ = exporter.from_notebook_node(nbformat.read(path, as_version=4))
        pages.append(folder / f"{path.stem}.html")
        write_whole(pages[-1], page)
    return pages
