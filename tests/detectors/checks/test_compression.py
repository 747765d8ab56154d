def test_json_compresses_more_than_prose(look, prose) -> None:
    rows = "[" + ",".join(f'{{"id": {at}, "name": "part", "price": 1.5}}' for at in range(30)) + "]"

    assert look("compression", prose["english"])["=compression"] < 1.3 < 3 < look("compression", rows)["=compression"]


def test_markup_is_a_share_of_bytes(look) -> None:
    assert look("compression", "**bold** words and so on")["=markup"] == 4 / 24


def test_a_word_alone_says_nothing(look) -> None:
    assert look("compression", "Yes.") == {}
