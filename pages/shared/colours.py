"""The colours of the app, light and dark: one table, used by every chart.

Q, K and V keep one hue each; the same hues are the theme's violet, green and orange in
`.streamlit/config.toml`, so `:violet[...]` in Markdown is Q. Signed values use a diverging scale
centred on zero, steep near zero; weights a sequential one from 0 to 1. Both were chosen to stay
apart under the three common colour-vision deficiencies.
"""

from dataclasses import dataclass

_STOPS = (0.0, 0.2, 0.38, 0.46, 0.5, 0.54, 0.62, 0.8, 1.0)


def _scale(colours: str) -> tuple[tuple[float, str], ...]:
    return tuple(zip(_STOPS, colours.split(), strict=True))


@dataclass(frozen=True)
class Palette:
    dark: bool
    background: str
    text: str
    muted: str
    border: str
    masked: str
    query: str
    key: str
    value: str
    bar: str
    signed: tuple[tuple[float, str], ...]
    weights: tuple[tuple[float, str], ...]


LIGHT = Palette(
    dark=False,
    background="#FFFFFF",
    text="#1B1F27",
    muted="#5B6472",
    border="#E2E5EA",
    masked="#E4E7EC",
    query="#6D28D9",
    key="#0F766E",
    value="#B45309",
    bar="#A3A9B5",
    signed=_scale("#0B4A86 #3D83C1 #8DBDE3 #CFE2F1 #F6F6F6 #FADFD4 #F1AF97 #D8604A #9C1127"),
    weights=((0.0, "#F6F6F6"), (0.15, "#DCE0E8"), (0.5, "#8B97AD"), (1.0, "#1E2A44")),
)
DARK = Palette(
    dark=True,
    background="#14161A",
    text="#E7E9ED",
    muted="#98A1AE",
    border="#30353E",
    masked="#30353E",
    query="#B79CFF",
    key="#4FD1B5",
    value="#F6AD55",
    bar="#5A6272",
    signed=_scale("#3F8BD0 #3576B3 #2C5A87 #243B53 #20242B #462D2A #7C3E33 #B5523F #DB6450"),
    weights=((0.0, "#20242B"), (0.15, "#343B47"), (0.5, "#7F8BA0"), (1.0, "#F4F6FA")),
)
