"""What doctor says of certificates, tokens, files with secrets, the state folder and references."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
import yaml

from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.agent import registry
from watchkeeper.agent.config import load, root_type
from watchkeeper.agent.files_found import examine_files
from watchkeeper.agent.references import store

AUTHORITY = trustme.CA()
Look = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def root() -> Any:
    return root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())


@pytest.fixture
def look(tmp_path: Path, root: Any) -> Look:
    def look(**settings: Any) -> dict[str, str]:
        """Subject to mark and text; of several, the one that is bad."""
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
        config = load(tmp_path / "c.yaml", {}, root)
        found = sorted(examine_files(config, registry.sources(), time.time()), key=lambda one: one.mark == "bad")
        return {remark.subject: f"{remark.mark}: {remark.text}" for remark in found}

    return look


def certificate(folder: Path, days: float) -> dict[str, str]:
    issued = AUTHORITY.issue_cert("a.example", not_after=datetime.now(UTC) + timedelta(days=days))
    issued.cert_chain_pems[0].write_to_path(str(folder / "certificate"))
    issued.private_key_pem.write_to_path(str(folder / "key"))
    os.chmod(folder / "key", 0o600)
    return {"certificate_file": str(folder / "certificate"), "key_file": str(folder / "key")}


@pytest.mark.parametrize(("days", "mark"), [(400, "ok"), (10, "note"), (-1, "bad")])
def test_it_is_told_how_long_certificates_last(look: Look, tmp_path: Path, days: int, mark: str) -> None:
    tls = certificate(tmp_path, days)

    said = look(web={"tls": tls}, otlp={"tls": tls}, tap=[{"port": 1, "upstream": "http://a", "tls": tls}])

    assert [said[f"{path}.tls"].partition(":")[0] for path in ("web", "otlp", "tap[0]")] == [mark] * 3


def test_a_certificate_that_cannot_be_used_is_bad(look: Look, tmp_path: Path) -> None:
    tls = certificate(tmp_path, 400)
    (tmp_path / "certificate").write_text("half")

    assert look(web={"tls": tls})["web.tls"].startswith("bad: web.tls.certificate_file: ")


def test_a_port_that_others_reach_without_tls_is_worth_a_note(look: Look) -> None:
    said = look(web={"host": "0.0.0.0"}, otlp={"host": "127.0.0.1"})

    assert said["web"].startswith("note: no TLS at 0.0.0.0")
    assert "otlp" not in said


def test_tokens_are_counted_and_those_that_are_none_are_bad(look: Look, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("ann: 0123456789abcdef\nbob: 0123456789abcdeg\n")
    bad.write_text("short")

    said = look(web={"token_file": str(good)}, otlp={"token_file": str(bad)})

    assert said["web.token_file"].startswith("note: ")  # of its mode
    assert said["otlp.token_file"].startswith("bad: otlp.token_file: ")
    good.chmod(0o600)
    assert look(web={"token_file": str(good)})["web.token_file"].startswith("ok: 2 tokens in ")


@pytest.mark.parametrize(("mode", "mark"), [(0o600, ""), (0o640, ""), (0o644, "note"), (0o666, "bad")])
def test_files_with_secrets_are_not_everybodys(look: Look, tmp_path: Path, mode: int, mark: str) -> None:
    (tmp_path / "token").write_text("Z" * 20)
    (tmp_path / "token").chmod(mode)

    said = look(engines=[{"url": "http://a:1", "bearer_token_file": str(tmp_path / "token")}])

    assert said.get("engines[0].bearer_token_file", "").partition(":")[0] == mark
    assert "ZZ" not in str(said)


def test_a_file_with_a_secret_that_is_not_there_is_bad(look: Look, tmp_path: Path) -> None:
    kafka = {"enabled": True, "connection": {"servers": ["a:1"], "sasl": "PLAIN", "username": "u"}}
    kafka["connection"]["password_file"] = str(tmp_path / "none")  # type: ignore[index]

    said = look(exporters={"kafka": kafka})["exporters.kafka.connection.password_file"]
    assert said.endswith("none: No such file or directory; give a readable file")
    assert "exporters.kafka.connection.password_file" not in look(exporters={"kafka": kafka | {"enabled": False}})


def test_the_state_folder_is_one_that_can_be_written_by_us_alone(look: Look, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert look()["state_folder"].startswith("note: not set")
    assert look(state_folder=str(folder))["state_folder"].startswith("note: ")
    assert look(state_folder="/proc/none")["state_folder"].startswith("bad: ") or os.geteuid() == 0
    folder.mkdir(mode=0o700)
    assert look(state_folder=str(folder))["state_folder"].startswith("ok: ")
    folder.chmod(0o755)
    assert "open to everybody" in look(state_folder=str(folder))["state_folder"]


def test_references_are_counted_and_broken_ones_named(look: Look, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert look(state_folder=str(tmp_path))["references"].startswith("note: none in ")
    values = np.random.default_rng(1).normal(size=500)
    pack = packs.build("input_tokens", Kind.NUMBER, values, made_at=1.0, segment="shop/chat/qwen")
    with store.writing(tmp_path / "references"):
        store.put(tmp_path / "references", pack.approved("ann", 2.0, "a good week"))
    assert look(state_folder=str(tmp_path))["references"].startswith("ok: in force: 1, of services and models: 1,")
    (tmp_path / "references" / "x.json").write_text("{")
    assert "x.json" in look(state_folder=str(tmp_path))["references"]
