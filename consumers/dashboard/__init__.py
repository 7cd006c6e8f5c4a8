"""The page of a run for people who manage its risk: one self-contained HTML file.

`watch` collects from the stream as it passes, in bounded memory; `timeline` and `cases` are what it keeps;
`charts` turns them into Plotly figures, `page` into HTML. Numbers are drawn here, never booked.
"""

from consumers.dashboard.watch import Dashboard

__all__ = ["Dashboard"]
