import pytest


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("key AKIAQ3EGZJ7XKPLM2N4R ok", "aws"),
        ("ghp_a8Kd02mNfR5tYwQzX1cVbL7jHgS4pEuI9oT6", "github"),
        ("use sk-proj-9fKd02mNfR5tYwQzX1cVbL7jHg", "model_provider"),
        ("LTAI5tQm7Rk2XbV9wZ8sYcPd", "alibaba_cloud"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7", "private_key"),
        ("postgres://app:h8Kd02mNf@db:5432/x", "url_password"),
        ("密码：q8Zr4-Lk2pWx", "assigned"),
        ('"api_key": "h8Kd02mNfR5tYw"', "assigned"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5ODc2NTQzMjEwIn0.dBjftJeZ4CVPmB92K27u", "json_web_token"),
    ],
)
def test_secrets_of_a_known_form_are_counted_by_kind(look, text: str, kind: str) -> None:
    assert look("secrets", text)["secrets"] == {kind: 1}
    assert look("secrets", "", prompt=text)["secrets_prompt"] == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE", "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx", "password: YOUR_PASSWORD_1", "api_key = get_key()",
        "secret: <token>", "The password is required.", "postgres://user:password@localhost/db", "密码：不能为空",
        "https://example.org/a:b@c", "task-force-of-many-people-and-things-too",
    ],
)  # fmt: skip
def test_placeholders_and_talk_of_secrets_are_not(look, text: str) -> None:
    assert look("secrets", text) == {"secrets": {}}


def test_a_canary_in_an_answer_is_found_exactly(look) -> None:
    canaries = {"canaries": ("BLUE-HERON-7", "never to be seen")}

    assert look("secrets", "My orders: BLUE-HERON-7.", config=canaries)["canary"] == {"canary": 1}
    assert look("secrets", "<think>BLUE-HERON-7</think>no", config=canaries)["canary"] == {"canary": 1}
    assert look("secrets", "blue-heron-7", config=canaries)["canary"] == {}
    assert "canary" not in look("secrets", "", prompt="BLUE-HERON-7", config=canaries)


def test_a_canary_beyond_what_checks_read_is_found_too(look) -> None:
    answer = "x" * 100_000 + "BLUE-HERON-7" + "x" * 100_000

    assert look("secrets", answer, config={"canaries": ("BLUE-HERON-7",)})["canary"] == {"canary": 1}


def test_canaries_of_a_file_are_found_as_those_of_the_configuration_are(look, tmp_path) -> None:
    (tmp_path / "canaries").write_text("BLUE-HERON-7\n\nnever to be seen\n")
    config = {"canaries": ("of the configuration",), "canaries_file": str(tmp_path / "canaries")}

    assert look("secrets", "BLUE-HERON-7, of the configuration", config=config)["canary"] == {"canary": 2}


def test_a_file_of_canaries_that_is_short_of_them_or_not_there_is_a_mistake(tmp_path) -> None:
    from detectors.checks.secrets import PLUGIN, SecretsConfig

    (tmp_path / "canaries").write_text("heron\n")
    (short,) = PLUGIN.problems(SecretsConfig(canaries_file=str(tmp_path / "canaries")))
    (missing,) = PLUGIN.problems(SecretsConfig(canaries_file=str(tmp_path / "none")))

    assert short == "checks.secrets.canaries_file: shorter than 8 characters; a short one is found by chance"
    assert missing.startswith("checks.secrets.canaries_file: ")
    assert "cannot be read" in missing


def test_a_short_canary_is_a_mistake_that_is_not_repeated() -> None:
    from detectors.checks.secrets import PLUGIN, SecretsConfig

    (problem,) = PLUGIN.problems(SecretsConfig(canaries=("long enough", "heron")))

    assert problem.startswith("checks.secrets.canaries[1]: ")
    assert "heron" not in problem
