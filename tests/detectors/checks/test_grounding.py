CONTEXT = (
    "The bridge was opened in 1932 by the mayor of the town and is 503 metres long, says https://bridge.example/a."
)
ALL = {"share": 1.0}


def test_an_answer_out_of_the_context_is_grounded(look) -> None:
    said = look(
        "grounding", "The bridge was opened in 1932 by the mayor of the town.", text={"context": CONTEXT}, config=ALL
    )

    assert said == {"=grounded": 1.0, "=ungrounded_figures": 0.0}


def test_an_invention_is_not(look) -> None:
    answer = "A tunnel of 77 metres was dug in 1850 by some monks, see http://monks.example/b for more."

    said = look("grounding", answer, text={"context": CONTEXT}, config=ALL)

    assert said["=grounded"] < 0.1
    assert said["=ungrounded_figures"] == 1.0


def test_figures_of_the_prompt_are_not_invented(look) -> None:
    said = look("grounding", "In 1850, yes.", prompt="Was it 1850?", text={"context": CONTEXT}, config=ALL)

    assert said == {"=ungrounded_figures": 0.0}


def test_chinese_is_compared_by_characters(look) -> None:
    context = {"context": "这座桥于一九三二年由市长剪彩通车，全长五百零三米。"}

    assert look("grounding", "这座桥于一九三二年由市长剪彩通车", text=context, config=ALL)["=grounded"] == 1.0


def test_without_context_or_answer_nothing_is_said(look) -> None:
    assert look("grounding", "The bridge was opened in 1932.", config=ALL) == {}
    assert look("grounding", "", text={"context": CONTEXT}, config=ALL) == {}
