"""The end of the record: what each part is evidence for, and the hashes of what it rests on."""

from typing import Final

from exporters.page.markup import Child, Html, element, fragment
from watchkeeper.agent.report.record import Record, Requirement
from watchkeeper.agent.report.sheet import both, lines, more, said, table, title

_MOST_HASHES: Final = 40
_PARTS: Final = {
    "models": ("models", "模型"),
    "slos": ("objectives", "目标"),
    "drift": ("drift", "漂移"),
    "safety": ("output checks", "输出检查"),
    "incidents": ("incidents", "事件"),
    "changes": ("changes", "变更"),
    "completeness": ("completeness", "完整性"),
    "rests_on": ("hashes", "哈希"),
}
_GROUPS: Final = {
    "layers": ("Five layers of the operations phase", "运营阶段五层"),
    "iso42001": ("ISO/IEC 42001", "ISO/IEC 42001"),
    "nist": ("NIST AI RMF", "NIST AI RMF"),
    "eu": ("EU AI Act", "欧盟《人工智能法》"),
    "cn": ("Chinese measures and standards", "中国办法与标准"),
}


def requirements(record: Record) -> Html:
    note = both(
        "Each row says which part of this record is evidence for what a text asks of a running system. It does not say "
        "that anything complies; which law applies is not decided here. Basis: text = wording read in a copy, second = "
        "read in a secondary source, check = confirm before quoting.",
        "各行说明本记录的哪一部分可作为文本对运行系统要求的证据；不表示符合性，适用何种法规不由本记录判断。依据：text＝核对过文本，"
        "second＝二手来源，check＝引用前须核实。",
    )
    rows: list[tuple[Child, ...]] = []
    for group, names in _GROUPS.items():
        among = [one for one in record.requirements if one.group == group]
        for place, one in enumerate(among):
            is_headed = place == 0 and names[0] not in one.source.en
            head = element("strong", both(*names, "pair")) if is_headed else None
            rows.append(
                (
                    lines(head, said(one.source)),
                    said(one.asks),
                    said(one.evidence),
                    _held(one),
                    lines(one.artefacts, element("small", one.basis)),
                )
            )
    columns = (
        ("requirement", "要求"),
        ("asks", "内容"),
        ("evidence for it", "相应证据"),
        ("held here", "本记录所含"),
        ("artefact, basis", "产物、依据"),
    )
    return element(
        "section",
        title("Evidence for requirements", "对应各项要求的证据"),
        element("p", note),
        table(columns, rows),
        class_="annex",
    )


def _held(one: Requirement) -> Html:
    if not one.held:
        return element("span", both("nothing in this period", "本期无", "pair"), class_="quiet")
    parts = [both(*_PARTS[part], "pair") for part in one.held]
    return fragment(*(fragment(", " if place else "", part) for place, part in enumerate(parts)))


def rests_on(record: Record) -> Html:
    order = sorted(enumerate(record.rests_on), key=lambda one: (one[1].what == "reference", one[0]))
    rows = [
        (one.what, one.name, element("code", one.sha256, data_at=f"/rests_on/{place}/sha256"))
        for place, one in order[:_MOST_HASHES]
    ]
    columns = (("what", "材料"), ("name", "名称"), ("SHA-256", "SHA-256"))
    content = fragment(table(columns, rows), more(len(order) - len(rows), "JSON"))
    why = record.absent.get("rests_on")
    told = element("p", said(why), class_="bad") if why else None
    return element("section", title("What this rests on", "本记录所依据的材料"), told, content, class_="annex")
