from watchkeeper.core.records import Completion


def test_tokens_over_limit_prompt_and_reasoning(of) -> None:
    call = Completion(at=0.0, input_tokens=50, output_tokens=100, max_output_tokens=200, reasoning_tokens=25)

    assert of("length", call) == {"=length_of_limit": 0.5, "=length_of_prompt": 2.0, "=reasoning": 0.25}


def test_characters_are_of_what_is_said(look) -> None:
    assert look("length", "Hm.Yes", text={"reasoning": "Hm."}) == {"=length": 3}


def test_a_record_that_only_adds_to_another_is_not_measured_twice(of) -> None:
    assert of("length", Completion(at=0.0, counts=False, input_tokens=50, output_tokens=100)) == {}


def test_nothing_known_is_nothing_said(of) -> None:
    assert of("length", Completion(at=0.0, input_tokens=0, output_tokens=0)) == {}
