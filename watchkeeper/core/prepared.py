"""One call as checks read it: bounded, well-formed, and every form of it made at most once."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from watchkeeper.core.records import Completion, Text

HEAD_CHARACTERS: Final = 65_536
TAIL_CHARACTERS: Final = 4_096
_NO_TEXT: Final = Text()
_THINK_OPEN: Final = "<think>"
_THINK_CLOSE: Final = "</think>"

Form = TypeVar("Form")


class Prepared:
    """
    `prompt`, `answer`, `reasoning` and `context` hold the first 65,536 characters and the last 4,096, and can be
    encoded (lone surrogates are U+FFFD). `answer` is what the user gets: without reasoning, without arguments of tools.

    >>> call = Prepared(Completion(at=0.0, text=Text("hi", "<think>they greet</think>Hello")))
    >>> call.reasoning, call.answer, call.form(answer_in_lower_case)     # doctest: +SKIP
    ('they greet', 'Hello', 'hello')
    """

    __slots__ = ("_forms", "answer", "completion", "context", "has_answer", "prompt", "reasoning", "text")

    def __init__(self, completion: Completion) -> None:
        text = completion.text or _NO_TEXT
        self.completion = completion
        self.text = text
        self.has_answer = bool(text.answer)
        """something of the answer is known, be it reasoning alone"""
        spoken, reasoning = _parts(text) if text.answer else ("", "")
        self.answer = bounded(spoken)
        self.reasoning = bounded(reasoning)
        self.prompt = bounded(text.prompt)
        self.context = bounded(text.context)
        self._forms: dict[Callable[[Prepared], Any], Any] = {}

    def form(self, make: Callable[["Prepared"], Form]) -> Form:
        """What `make` makes of this call, made once; `make` is a module's function, no closure, and gives no None."""
        made: Form | None = self._forms.get(make)
        if made is None:
            made = self._forms[make] = make(self)
        return made


def bounded(text: str) -> str:
    """Head and tail of a text that is too long, and no lone surrogates."""
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{text[:HEAD_CHARACTERS]}\n{text[-TAIL_CHARACTERS:]}"
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _parts(text: Text) -> tuple[str, str]:
    """What was said and what was thought of an answer."""
    spoken, reasoning = text.answer, text.reasoning
    if reasoning and spoken.startswith(reasoning):
        spoken = spoken[len(reasoning) :].lstrip("\n")
    for call in reversed(text.calls):
        if call.arguments and spoken.endswith(call.arguments):
            spoken = spoken[: -len(call.arguments)].rstrip("\n")
    if not reasoning and _THINK_CLOSE in spoken:  # some templates put the opening tag into the prompt
        thought, _, spoken = spoken.partition(_THINK_CLOSE)
        reasoning = thought.replace(_THINK_OPEN, "", 1).strip()
        spoken = spoken.lstrip("\n")
    elif not reasoning and spoken.startswith(_THINK_OPEN):  # cut before it was done thinking
        spoken, reasoning = "", spoken.removeprefix(_THINK_OPEN)
    return spoken, reasoning
