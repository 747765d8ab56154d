import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.checks import pii, secrets
from detectors.redaction import MOST_CHARACTERS, Redactor
from watchkeeper.agent.capture import CaptureConfig
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Flag, Text

CANARY = "the lamp is lit at noon"
AWS = "AKIAQ3EGRZ7CTBXW2LMN"
CARD = "4111 1111 1111 1111"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAx7\nq0aZ9h1kQw3Vb6Tn\n-----END RSA PRIVATE KEY-----"
PIECES = (
    CARD, CARD.replace(" ", ""), "11010519491231002X", "13812345678", "+8613812345678", "手机", "phone ", "ann@acme.io",
    f"{'a' * 90}@b.cn", "müller@acme.io", AWS, f"ghp_{'a1B2c3D4' * 5}", f"sk-{'Zx9Qw8Er7Ty6Ui5Op4' * 20}", PEM,
    PEM[:60], "https://bob:hunter29x@db.acme.io/x", "password: x9fKq27Lmz!", "api_key=9dK2mQ8rT5wZ", "密码是Zq8Rk2Lm9x",
    f"eyJ{'hbGciOiJI' * 3}.eyJ{'zdWIiOiIx' * 3}.{'SflKxwRJSM' * 200}", CANARY, CANARY[:9], "1", " ", "-", "a", "@", ".",
    "x", "密", "\n", "\\n", '"', "[", "]", "ſ", "İ", "\ud83d", "is ", ":", "secret",
)  # fmt: skip


def found_by_checks(text: str) -> dict[str, tuple[tuple[str, int], ...]]:
    """All that the checks say of a text as prompt and as answer."""
    call = Prepared(Completion(at=0.0, text=Text(text, text)))
    built: list[Any] = [
        pii.PLUGIN.build(pii.PiiConfig(), Ledger()),
        secrets.PLUGIN.build(secrets.SecretsConfig(canaries=(CANARY,)), Ledger()),
    ]
    scores = [score for check in built for score in check.score(call)]
    return {score.name: score.hits for score in scores if isinstance(score, Flag) and score.hits}


@given(text=st.lists(st.sampled_from(PIECES), max_size=14).map("".join), most=st.integers(1, 600))
@settings(deadline=None, max_examples=400)
def test_after_redaction_the_checks_find_nothing(text: str, most: int) -> None:
    redacted = Redactor((CANARY,)).redact(text, most)

    assert found_by_checks(redacted.text) == {}
    assert redacted.is_cut == (len(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")) > most)


@given(text=st.text(st.characters(), max_size=200))
@settings(deadline=None, max_examples=60)
def test_a_text_in_which_nothing_is_found_stays_as_it_is(text: str) -> None:
    if not found_by_checks(text) and text.isascii():
        assert Redactor((CANARY,)).redact(text, 1_000) == (text, {}, False, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("write to ann@acme.io.", "write to [mail]."),
        ("call 手机13812345678", "call 手机[mobile]"),
        ("order 13812345678", "order [mobile]"),
        ("id 11010519491231002x", "id [resident_id]"),
        (f"card {CARD}, thanks", "card [card], thanks"),
        (f"key {AWS}", "key [secret:aws]"),
        ("at https://bob:hunter29x@db.acme.io/x?y", "at https[secret:url_password]?y"),
        ("password: x9fKq27Lmz!", "[secret:assigned]"),
        (f"so {CANARY}, ha", "so [canary], ha"),
        ("customer K-77123 and K-9", "customer [pattern] and [pattern]"),
    ],
)
def test_what_is_found_is_replaced_by_a_word_for_it(text: str, said: str) -> None:
    redactor = Redactor((CANARY,), (re.compile(r"K-\d+"), re.compile("q*")))

    redacted = redactor.redact(text, 1_000)

    assert redacted.text == said
    assert sum(redacted.found.values()) == said.count("[")
    assert all(f"[{word}]" in said for word in redacted.found)


@pytest.mark.parametrize(
    "secret",
    [
        PEM,
        PEM[:-35],
        f"sk-{'Zx9Qw8Er7Ty6Ui5Op4' * 30}",
        f"{'longname' * 12}@acme.io",
        "müller.lüdenscheidt@acme.io",
        f"eyJ{'hbGciOiJI' * 3}.eyJ{'zdWIiOiIx' * 3}.{'SflKxwRJSM' * 200}",
    ],
    ids=["private key", "private key without an end", "long key", "long name", "umlauts", "long token"],
)
def test_nothing_of_a_secret_is_left_beside_the_word_for_it(secret: str) -> None:
    text = Redactor().redact(f"It is {secret}", 5_000).text

    assert re.fullmatch(r"It is \[[a-z_:]+\]", text)


@pytest.mark.parametrize(
    "secret", [CARD, AWS, "ann@acme.io", PEM, CANARY], ids=["card", "key", "mail", "pem", "canary"]
)
def test_what_is_cut_in_two_is_still_replaced_whole(secret: str) -> None:
    text = f"before {secret} after"

    for most in range(len(text)):
        left = Redactor((CANARY,)).redact(text, most).text
        shown = re.sub(r"\[[a-z_:]+\]", "", left)
        assert "before  after".startswith(shown)


def test_more_than_the_checks_look_at_is_replaced_too() -> None:
    rest = [*["12345678901,"] * 600, *["@"] * 600, *["password"] * 2_500]

    redacted = Redactor().redact(" ".join([*rest, f"13812345678, ann@acme.io {AWS}"]), MOST_CHARACTERS)

    assert redacted.text == " ".join([*rest, "[mobile], [mail] [secret:aws]"])


def test_a_text_that_does_not_come_to_an_end_is_withheld() -> None:
    redacted = Redactor(("[canary]",)).redact("so [canary] it is", 100)

    assert (redacted.text, redacted.is_withheld) == ("[withheld]", True)


def test_the_bound_of_a_captured_text_is_that_of_redaction() -> None:
    [field] = [one for one in msgspec.structs.fields(CaptureConfig) if one.name == "max_characters"]

    assert field.type.__metadata__[0].le == MOST_CHARACTERS
