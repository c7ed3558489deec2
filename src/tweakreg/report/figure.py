"""A figure that shows itself in a notebook, whether pyplot is in use or not."""

from __future__ import annotations

import base64
import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure with a picture of itself for a notebook."""

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=80)
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<img alt="figure" style="max-width: 100%" src="data:image/png;base64,{data}">'
