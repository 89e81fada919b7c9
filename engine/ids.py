"""How the parts of an image are named: readable, unique over the whole data set, the same on every run."""


def text_id(image_id: str, specialist: str, index: int) -> str:
    """The index-th text that `specialist` gave for the image; independent of which texts are kept."""
    return f"{image_id}:{specialist}:{index}"


def region_id(image_id: str, index: int) -> str:
    """The index-th region that consensus formed in the image, kept or rejected."""
    return f"{image_id}:r{index}"


def phrase_id(text: str, index: int) -> str:
    """The index-th noun phrase of the text with id `text`, kept or rejected."""
    return f"{text}:p{index}"
