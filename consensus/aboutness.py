"""Whether a text is about its image at all, or about another one, by what detectors saw.

Two explanations of a text are weighed (a likelihood ratio, as in `consensus.mentions`, but of the whole text): it is
about this image, so detectors see the things that it names as often as they see their kinds, and it names the things
that are there, the larger the likelier (Berg et al. 2012, "Understanding and Predicting Importance in Images"); or it
is about another, so what it names was seen as often as in any image, and what is there is named by chance.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus import mentions
from consensus.mentions import MentionReliability, Mentions, Sightings

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

# Our choice: the share of texts about another image; how often a text names a kind of which it does not speak; and how
# often a thing that is there, which is hardly seen, and how much more often one that fills the image.
_ELSEWHERE: Final = 0.05
_BY_CHANCE: Final = 0.03
_SMALL, _MORE = 0.05, 0.5


def about(image: I64, text: I64, named: Mentions, sightings: Sightings, area: F64, known: MentionReliability) -> F64:
    """The probability that each text is about its image: (n,).

    `image` (n,) numbers the images of the texts, `text` (m,) the text of each mention in `named`; `area` (images,
    labels) is the share of the image that accepted regions of a label cover, in 0..1.
    """
    n, n_labels = len(image), len(sightings.knows)
    odds = np.full(n, np.log((1.0 - _ELSEWHERE) / _ELSEWHERE))
    # a thing that the text did not invent is there; an invented one, and one of another image, is there by chance
    here, anywhere = mentions.sighted(named, sightings, known)
    invents = known.invents[named.author]
    odds += np.bincount(text, np.log(invents + (1.0 - invents) * here / anywhere), minlength=n)
    # what is there and not named: of all labels of the image, without those that the text names
    silence = np.where(sightings.accepted, np.log1p(-(_SMALL + _MORE * np.sqrt(area))) - np.log1p(-_BY_CHANCE), 0.0)
    pairs = np.unique(text[named.mention] * n_labels + named.label)
    spoken = silence[image[pairs // n_labels], pairs % n_labels]
    odds += silence.sum(axis=1)[image] - np.bincount(pairs // n_labels, spoken, minlength=n)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -50.0, 50.0))))
