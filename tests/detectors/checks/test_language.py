def test_an_answer_in_another_language_is_flagged(look, prose) -> None:
    chinese, english = prose["chinese"], prose["english"]

    assert look("language", chinese, prompt=english) == {"language": {"switched": 1}, "=language": "zh"}
    assert look("language", english, prompt=chinese) == {"language": {"switched": 1}, "=language": "en"}


def test_an_answer_in_the_same_language_is_not(look, prose) -> None:
    assert look("language", prose["english"], prompt=prose["english"]) == {"language": {}, "=language": "en"}


def test_a_translation_asked_for_is_not_judged_but_its_language_is_told(look, prose) -> None:
    prompt = f"Translate this into Chinese: {prose['english']}"

    assert look("language", prose["chinese"], prompt=prompt) == {"=language": "zh"}


def test_what_is_too_short_to_tell_is_left_out(look) -> None:
    assert look("language", "Yes, of course.", prompt="Sure?") == {}


def test_figures_and_code_say_nothing(look) -> None:
    assert look("language", "1 + 2 = 3\n" * 30, prompt="Sum?") == {}


def test_a_share_is_spread_evenly(prose) -> None:
    from detectors.checks.language import PLUGIN, LanguageConfig
    from watchkeeper.core.ledger import Ledger
    from watchkeeper.core.prepared import Prepared
    from watchkeeper.core.records import Completion, Text

    check = PLUGIN.build(LanguageConfig(share=0.25), Ledger())
    call = Completion(at=0.0, text=Text("", prose["english"]))

    assert [bool(check.score(Prepared(call))) for _ in range(8)] == [False, False, False, True] * 2


def test_what_the_model_is_not_sure_of_is_left_out(look) -> None:
    mixed = "Das Meeting war okay, but der Chef sagte no comment und left early."

    assert look("language", mixed, config={"confidence_ratio": 0.99}) == {}
