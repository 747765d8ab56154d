"""
The record that outlives the process: findings and their life, what was observed by the hour, what runs, what was
changed, and an audit log chained by hash. SQLite beside the agent, or PostgreSQL for a fleet. See docs/store.md.
"""

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from watchkeeper.core.errors import ConfigError, Unavailable
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import devices, requests, store
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES

if TYPE_CHECKING:
    from exporters.store.writer import Store

FILE: Final = "watchkeeper.db"
_SCHEMES: Final = ("sqlite", "postgresql")
Days = Annotated[int, msgspec.Meta(ge=1)]


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Days after which a kind is removed, in small bites. A finding goes only once it is over or closed."""

    events_days: Days = 190
    """findings, changes and the audit log: what several laws ask to be kept for six months"""
    profiles_days: Days = 400
    """counts per hour"""
    samples_days: Days = 30
    """rows of numbers and short words that single calls gave"""
    inventory_days: Days = 1100
    """models, versions and machines, from when they were last seen"""


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A database of findings, profiles, inventory, changes and who did what."""

    enabled: bool = False
    """keep a record in a database"""
    url: str = ""
    """`postgresql://user@host/database`, or `sqlite:///file`; empty: the file watchkeeper.db in `state_folder`"""
    password_file: str = ""
    """file with PostgreSQL's password, read for each connection; a password never stands in `url`"""
    state_folder: str = ""
    """where findings wait while the database is away; empty: the `state_folder` of all"""
    deployment: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "default"
    """names what belongs together in a shared database: one audit log each"""
    instance: str = ""
    """names this process among its like; empty: the host's name"""
    spool_mebibytes: Annotated[int, msgspec.Meta(ge=1)] = 16
    """room on disk for findings while the database is away; past it the newest are dropped and counted"""
    profile_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 300.0
    """how often counts, sampled rows and the inventory are written; findings are written at once"""
    rows_per_hour: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 20
    """rows of single calls kept of each segment and hour, drawn at random; never text; 0 keeps none"""
    max_streams: Annotated[int, msgspec.Meta(ge=1)] = 50_000
    """signals of segments counted in memory at once, hours not written yet included; further ones are dropped"""
    retention: RetentionConfig = RetentionConfig()
    """how long each kind is kept"""

    @property
    def address(self) -> str:
        """The database's URL without its password; empty where nothing says which."""
        if not self.url and self.state_folder:
            return f"sqlite:///{Path(self.state_folder).absolute() / FILE}"
        return self.url

    @property
    def name(self) -> str:
        """Of this process among its like."""
        return self.instance or socket.gethostname()


def problems(config: StoreConfig) -> tuple[str, ...]:
    """No database named, or none that is known here."""
    address = config.address
    if not address:
        return ("exporters.store: needs a place: set state_folder, or exporters.store.url",)
    scheme, _, rest = address.partition("://")
    if ("@" in rest and ":" in rest.rpartition("@")[0]) or "password=" in rest:
        return ("exporters.store.url: holds a password; give a file with it as exporters.store.password_file",)
    if scheme not in _SCHEMES:
        return (f"exporters.store.url: '{scheme}' is no database known here; give postgresql:// or sqlite://",)
    if scheme == "sqlite" and not rest.startswith("/"):
        return ("exporters.store.url: give a file, like sqlite:////var/lib/watchkeeper/watchkeeper.db",)
    return ()


def build(config: StoreConfig, ledger: Ledger) -> "Store":
    """:raises ConfigError: no such database can be used; one that is only away is no reason"""
    if found := problems(config):
        raise ConfigError(*found)
    try:
        from exporters.store.writer import Store
    except ModuleNotFoundError as error:
        raise ConfigError(missing_package(error)) from None
    return Store(config, ledger)


def missing_package(error: ModuleNotFoundError) -> str:
    """What to install. :raises ModuleNotFoundError: it is none of the store's own"""
    name = (error.name or "").partition(".")[0]
    extras = {"sqlalchemy": "store", "alembic": "store", "psycopg": "postgres"}
    if name not in extras:
        raise error
    return f"exporters.store: needs the package {name}; run: pip install 'watchkeeper[{extras[name]}]'"


def probe(config: StoreConfig) -> tuple[str, ...]:
    """Is the database there, and of this version? Changes nothing."""
    if found := problems(config):
        return tuple(f"! {one}" for one in found) if config.enabled else ()
    try:
        from exporters.store import database

        return (database.examine(config),)
    except ModuleNotFoundError as error:
        return (f"! {missing_package(error)}",)
    except (ConfigError, Unavailable) as error:
        return (f"! {error}",)


PLUGIN: Final = Plugin(
    name="store",
    summary="Findings and their life, hourly profiles, inventory, changes and an audit log in SQLite or PostgreSQL.",
    config=StoreConfig,
    build=build,
    metrics=(*store.METRICS, EXPORTER_FAILURES),
    reads=(requests.REQUESTS, devices.INFO),
    roles=("run", "node", "sidecar", "gateway", "detector"),
    problems=problems,
    probe=probe,
)
