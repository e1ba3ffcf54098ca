"""A self-contained HTML page: sections, tables and pictures that need nothing from anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_reid.files import atomic_file

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1d2733; background: #f4f6f8; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 2rem; margin: 0 0 .25rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
p.lead { font-size: 1.1rem; color: #44546a; margin-top: 0; }
section { background: #fff; border: 1px solid #dde4ec; border-radius: 10px; padding: 1rem 1.25rem; margin: 1rem 0; }
section h2 { margin-top: .25rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { background: #fff; border: 1px solid #dde4ec; border-radius: 10px; padding: .75rem 1rem; }
.tile b { display: block; font-size: 1.6rem; } .tile span { color: #5b6b7f; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #e6ebf1; }
th:first-child, td:first-child { text-align: left; } th { color: #5b6b7f; font-weight: 600; }
img, svg { max-width: 100%; height: auto; display: block; margin: .75rem auto; border-radius: 6px; }
code { background: #eef2f6; border-radius: 4px; padding: .1rem .35rem; font-size: .85rem; overflow-wrap: anywhere; }
.note { color: #5b6b7f; font-size: .9rem; } .scroll { overflow-x: auto; }
"""


def write_page(path: Path, title: str, body: str) -> None:
    """Write a page of sections."""
    page = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def section(title: str, text: str, *contents: str) -> str:
    """A card with a heading, a sentence about it, and its contents, all HTML."""
    return f"<section><h2>{title}</h2><p class='note'>{text}</p>{''.join(contents)}</section>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text; it scrolls by itself where the screen is narrow."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{top}</tr>{body}</table></div>"


def percent(share: float) -> str:
    """0.5 as `50.0 %`."""
    return f"{100 * share:.1f} %"


def inline(image: NDArray[np.uint8], name: str) -> str:
    """A picture, `(H, W, 3)` BGR or `(H, W)`, inside the page; `name` is its alternative text."""
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise RuntimeError(f"OpenCV could not encode {name}")
    return (
        f"<img alt='{html.escape(name)}' src='data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}'>"
    )
