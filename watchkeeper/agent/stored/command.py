"""What `watchkeeper findings` and `watchkeeper audit` do."""

import argparse
import getpass
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final

import msgspec

from exporters.store import StoreConfig, missing_package, problems
from watchkeeper.agent import config as configuration
from watchkeeper.agent import registry
from watchkeeper.core.errors import ConfigError, Unavailable

_ID: Final = 24


def _list(options: argparse.Namespace) -> int:
    from exporters.store import queries

    wanted = queries.Wanted(
        standing=options.standing,
        service=options.service,
        model=options.model,
        limit=max(1, min(queries.MOST, options.limit)),
    )
    with _reading(options) as (connection, deployment):
        found = queries.findings(connection, deployment, wanted)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    for one in found:
        state = f"{one.standing:<12}  {one.severity:<8}"
        print(f"{one.id:<{_ID}}  {_time(one.opened_at)}  {state}  {one.subject}: {one.summary}")
    if not found:
        print("nothing was found of what is asked for")
    return 0


def _acknowledge(options: argparse.Namespace) -> int:
    from exporters.store import deeds

    return _do(options, deeds.acknowledge, "acknowledged")


def _close(options: argparse.Namespace) -> int:
    from exporters.store import deeds

    return _do(options, deeds.close, "closed")


def _do(options: argparse.Namespace, deed: Callable[..., None], done: str) -> int:
    from exporters.store import deeds

    try:
        with _writing(options) as (connection, deployment):
            deed(connection, deployment, options.id, at=time.time(), who=_by(options), comment=options.comment)
    except (deeds.NotFoundError, deeds.ConflictError) as error:
        raise ConfigError(f"{options.id}: {error.args[0]}; watchkeeper findings list names them") from None
    print(f"{done}: {options.id}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from exporters.store import audit

    with _reading(options) as (connection, deployment):
        said = audit.verify(connection, deployment)
    if said.problem:
        print(f"watchkeeper: the audit log of {deployment} is broken: {said.problem}", file=sys.stderr)
        return 1
    print(f"{said.entries} entries of {deployment} are as they were written, from {said.first_number} on")
    if said.head_number:
        print(f"the last is {said.head_number}, {said.head_hash}: kept elsewhere, it shows a log made anew")
    return 0


def _entries(options: argparse.Namespace) -> int:
    from exporters.store import audit

    with _reading(options) as (connection, deployment):
        found = audit.entries(connection, deployment, options.after, max(1, options.limit))
    for one in found:
        if options.json:
            print(msgspec.json.encode(one).decode())
        else:
            print(f"{one.number:>7}  {_time(one.at)}  {one.who}  {one.action}  {one.subject}  {one.detail}")
    return 0


def _with_packages(verb: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The verb, where a package of the store that is not installed is told with the extra that brings it."""

    @wraps(verb)
    def told(options: argparse.Namespace) -> int:
        try:
            return verb(options)
        except ModuleNotFoundError as error:
            raise ConfigError(missing_package(error)) from None

    return told


VERBS: Final[Mapping[tuple[str, str], Callable[[argparse.Namespace], int]]] = {
    ("findings", "list"): _with_packages(_list),
    ("findings", "ack"): _with_packages(_acknowledge),
    ("findings", "close"): _with_packages(_close),
    ("audit", "verify"): _with_packages(_verify),
    ("audit", "list"): _with_packages(_entries),
}


def _store(options: argparse.Namespace) -> StoreConfig:
    """:raises ConfigError: nothing says where the store is"""
    root = configuration.root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())
    environment = dict(os.environ)
    if options.state_folder is not None:
        environment[f"{configuration.ENVIRONMENT_PREFIX}STATE_FOLDER"] = str(options.state_folder)
    found: StoreConfig = configuration.load(options.config, environment, root).exporters.store
    if not found.address:
        raise ConfigError("exporters.store: needs a place; give --config FILE or --state-folder FOLDER")
    if mistakes := problems(found):
        raise ConfigError(*mistakes)
    return found


@contextmanager
def _reading(options: argparse.Namespace) -> Iterator[tuple[Any, str]]:
    """A connection and the deployment. :raises ConfigError: the store cannot be asked"""
    with _opened(options) as (database, engine, store), database.reading(engine) as connection:
        yield connection, store.deployment


@contextmanager
def _writing(options: argparse.Namespace) -> Iterator[tuple[Any, str]]:
    """The same, committed at the end."""
    with _opened(options) as (database, engine, store), database.writing(engine) as connection:
        yield connection, store.deployment


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[tuple[Any, Any, StoreConfig]]:
    store = _store(options)
    try:
        from exporters.store import database

        engine = database.connect(store)
        database.must_be_there(engine)
        yield database, engine, store
    except Unavailable as error:
        raise ConfigError(f"exporters.store: {error}") from None


def _by(options: argparse.Namespace) -> str:
    if options.by:
        return str(options.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        raise ConfigError("--by: who runs this cannot be told here; give a name") from None


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
