"""Words that signs say, and the free fonts they are printed in.

Fonts: Aileron (CC0), embedded in Pillow, and DejaVu (Bitstream Vera licence), shipped inside matplotlib. matplotlib is
looked up and never imported.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from engine.errors import WeightsMissing

_AILERON: Final = "Aileron"
FONTS: Final = (_AILERON, "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSerif", "DejaVuSansMono-Bold")
WORDS: Final = (
    "STOP", "CAFE", "SHOP", "OPEN", "PARK", "ZOO", "SCHOOL", "HOTEL", "MARKET", "EXIT", "BOOKS", "TOYS", "PIZZA",
    "MUSEUM", "FARM", "BANK", "MUSIC", "HELLO", "SALE", "GARDEN", "BEACH", "HARBOR", "MILK", "BREAD", "FRUIT", "CAMP",
    "RIVER", "LAKE", "NORTH", "SOUTH", "EAST", "WEST", "SLOW", "TICKETS", "CINEMA", "Bakery", "Welcome", "Library",
    "Station", "Coffee", "Flowers", "Airport", "Picnic", "Forest", "Village", "Quiet",
)  # fmt: skip
BUS_WORDS: Final = ("BUS", "CITY", "SCHOOL", "TOUR", "AIRPORT", "ZOO")
_PIXELS: Final = 72  # nominal size at which glyphs are drawn before they are shrunk onto a sign


@lru_cache(maxsize=512)
def glyphs(text: str, font: str) -> NDArray[np.uint8]:
    """The ink (height, width) of a word, 0..255, cut to its edges. Callers must not write to it.

    Raises:
        WeightsMissing: the installed matplotlib or Pillow has not got the font.
    """
    face = _face(font)
    x0, y0, x1, y1 = (round(v) for v in face.getbbox(text))
    image = Image.new("L", (x1 - x0 + 8, y1 - y0 + 8))
    ImageDraw.Draw(image).text((4 - x0, 4 - y0), text, fill=255, font=face)
    found = image.getbbox()
    ink: NDArray[np.uint8] = np.array(image.crop(found) if found else image)
    ink.setflags(write=False)
    return ink


def aspect(text: str, font: str) -> float:
    """Width of a word's ink over its height."""
    height, width = glyphs(text, font).shape
    return float(width / height)


@lru_cache(maxsize=len(FONTS))
def _face(font: str) -> ImageFont.FreeTypeFont:
    if font == _AILERON:
        face = ImageFont.load_default(_PIXELS)
        if not isinstance(face, ImageFont.FreeTypeFont):
            raise WeightsMissing(
                "this Pillow was built without FreeType. Install Pillow's own wheel: pip install pillow."
            )
        return face
    spec = importlib.util.find_spec("matplotlib")
    path = Path(spec.origin).parent / "mpl-data/fonts/ttf" / f"{font}.ttf" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise WeightsMissing(f"scenes print words in {font}, which ships with matplotlib: pip install matplotlib.")
    return ImageFont.truetype(path, _PIXELS)
