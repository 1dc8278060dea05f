"""Index of texts by the beginnings of their words.

Words are kept sorted, and the positions of the texts that have them in one array in the same order. All words with the
same beginning then stand side by side, and their texts are a single slice: two binary searches, however many there are.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_WORD = re.compile(r"[^\W_]+")
_LAST = "\U0010ffff"


def words(text: str) -> list[str]:
    """Split a text into words without case and accents. Anything but letters and digits separates them.

    >>> words("Größe: delay_24h")
    ['grosse', 'delay', '24h']
    """
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in decomposed if not unicodedata.combining(one))
    return _WORD.findall(text.casefold())


@dataclass(frozen=True)
class WordIndex:
    """Words of texts that are numbered from 0.

    Attributes:
        words: Sorted, each once.
        ends: Shape (words,), int32: where the texts of each word end in ``texts``. They begin where those of the word
            before end.
        texts: int32: for one word after another the texts that have it.
    """

    words: list[str]
    ends: npt.NDArray[np.int32]
    texts: npt.NDArray[np.int32]

    @classmethod
    def of(cls, texts: Iterable[str]) -> WordIndex:
        """Index texts, in their order."""
        import numpy as np

        having: dict[str, list[int]] = {}
        for position, text in enumerate(texts):
            for word in dict.fromkeys(words(text)):
                having.setdefault(word, []).append(position)
        known = sorted(having)
        ends = np.cumsum([len(having[one]) for one in known], dtype=np.int32)
        return cls(known, ends, np.array([text for one in known for text in having[one]], np.int32))

    @classmethod
    def read(cls, stored: tuple[str, bytes, bytes]) -> WordIndex:
        """Read what :meth:`stored` returned."""
        import numpy as np

        known, ends, texts = stored
        return cls(known.split(), np.frombuffer(ends, "<i4"), np.frombuffer(texts, "<i4"))

    def stored(self) -> tuple[str, bytes, bytes]:
        """Return the index as values for a database."""
        return " ".join(self.words), self.ends.astype("<i4").tobytes(), self.texts.astype("<i4").tobytes()

    def having(self, beginning: str) -> npt.NDArray[np.int32]:
        """Return the texts with a word that begins so. A text with several such words appears several times.

        Args:
            beginning: As :func:`words` returns it; every text with a word has the empty one.
        """
        first, after = bisect_left(self.words, beginning), bisect_left(self.words, beginning + _LAST)
        start = int(self.ends[first - 1]) if first else 0
        return self.texts[start : int(self.ends[after - 1]) if after > first else start]
