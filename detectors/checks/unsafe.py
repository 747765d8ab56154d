"""
Offensive English in an answer, by a linear model that comes inside the package alt-profanity-check.

TF-IDF of words and five calibrated linear support vector machines, read from the package's own files without
scikit-learn: the wheel's numbers, not its pickled code, are used. Catches insults, slurs, obscenity and threats put
plainly. Misses other languages, anything polite (instructions for harm, bias, advice), and spellings made to evade;
quotations and medicine are marked. For judgement use `classifier`. Off by default, since its package is an extra:
`pip install 'watchkeeper[unsafe]'`.
"""

import re
from collections import Counter
from importlib.util import find_spec
from math import exp, sqrt
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from detectors.checks._forms import answer_lower
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_WORDS: Final = re.compile(r"\b\w\w+\b")
_PATTERN: Final = r"(?u)\b\w\w+\b"
_READ: Final = 8_192


class UnsafeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offensive English."""

    enabled: bool = False
    """True needs the extra `unsafe`"""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    """of all answers looked at, spread evenly"""
    probability_ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    """flagged above this probability"""


class Linear(msgspec.Struct, frozen=True):
    """Weights of a word: its inverse document frequency, and that times each machine's coefficient."""

    idf: dict[str, float]
    weights: dict[str, tuple[float, ...]]
    intercepts: tuple[float, ...]
    slopes: tuple[tuple[float, float], ...]
    """of each machine's calibration"""

    def probability(self, low: str) -> float:
        """That a text in lower case offends, in [0, 1]."""
        counts = {word: count for word, count in Counter(_WORDS.findall(low)).items() if word in self.idf}
        norm = sqrt(sum((count * self.idf[word]) ** 2 for word, count in counts.items())) or 1.0
        total = 0.0
        for machine, (intercept, (slope, shift)) in enumerate(zip(self.intercepts, self.slopes, strict=True)):
            distance = sum(count * self.weights[word][machine] for word, count in counts.items()) / norm + intercept
            total += 1.0 / (1.0 + exp(min(700.0, slope * distance + shift)))
        return total / len(self.slopes)


class Unsafe:
    def __init__(self, config: UnsafeConfig, _: Ledger) -> None:
        """:raises ConfigError: the extra is not installed"""
        self._share = config.share
        self._due = 1.0 - config.share
        self._limit = config.probability_ratio
        self._model = load()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        if not call.answer:
            return ()
        self._due += self._share
        if self._due < 1:
            return ()
        self._due -= 1
        probability = self._model.probability(call.form(answer_lower)[:_READ])
        return (Flag("unsafe", (("offensive", 1),) if probability > self._limit else ()),)


def load() -> Linear:
    """:raises ConfigError: the package, or what reads it, is not installed, or it holds another kind of model"""
    package = find_spec("profanity_check")
    if package is None or package.origin is None or find_spec("joblib") is None:
        raise ConfigError("checks.unsafe: needs `pip install 'watchkeeper[unsafe]'`, or checks.unsafe.enabled: false")
    folder = Path(package.origin).parent / "data"
    try:
        words, machines = (_numbers(folder / name) for name in ("vectorizer.joblib", "model.joblib"))
        return _linear(words, machines)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise ConfigError(
            f"checks.unsafe: the model of the installed alt-profanity-check is of another kind "
            f"({type(error).__name__}); install the version that watchkeeper[unsafe] names"
        ) from error


def _linear(words: Any, machines: Any) -> Linear:
    if tuple(words.ngram_range) != (1, 1) or words.token_pattern != _PATTERN or words.sublinear_tf:
        raise ValueError("not the kind of vectorizer that is read here")
    frequencies = words._tfidf.idf_ if hasattr(words._tfidf, "idf_") else words._tfidf._idf_diag.data
    idf = {word: float(frequencies[at]) for word, at in words.vocabulary_.items()}
    folds = machines.calibrated_classifiers_
    coefficients = [fold.estimator.coef_[0] for fold in folds]
    weights = {
        word: tuple(float(one[at]) * idf[word] for one in coefficients) for word, at in words.vocabulary_.items()
    }
    slopes = tuple((float(fold.calibrators[0].a_), float(fold.calibrators[0].b_)) for fold in folds)
    return Linear(idf, weights, tuple(float(fold.estimator.intercept_[0]) for fold in folds), slopes)


class _Record:
    """Stands for an object of scikit-learn: its numbers, none of its code."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)


def _numbers(path: Path) -> Any:
    """What a joblib file holds; classes are numpy's or records, nothing in it is run."""
    from joblib import numpy_pickle

    class Unpickler(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
        def find_class(self, module: str, name: str) -> Any:
            if module.startswith("numpy") or (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
                return super().find_class(module, name)
            return _Record

    with path.open("rb") as file:
        return Unpickler(str(path), file, ensure_native_byte_order=True).load()


PLUGIN: Final = Plugin(
    name="unsafe",
    summary="Offensive English in an answer, by a linear model inside a package.",
    config=UnsafeConfig,
    build=Unsafe,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
)
