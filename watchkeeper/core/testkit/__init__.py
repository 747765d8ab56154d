"""The public test kit: what a test of a part needs and production code never imports."""

from watchkeeper.core.testkit.alert_receiver import Alertmanager, Webhook
from watchkeeper.core.testkit.fake_library import FakeLibrary
from watchkeeper.core.testkit.marks import MarkedPeer, mark, marks
from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.testkit.postgres_server import PostgresServer
from watchkeeper.core.testkit.programs import require, require_library
from watchkeeper.core.testkit.prometheus_server import PrometheusServer, TargetHealth
from watchkeeper.core.testkit.recordings import recorded
from watchkeeper.core.testkit.running import RunningWatchkeeper

__all__ = [
    "Alertmanager",
    "FakeLibrary",
    "MarkedPeer",
    "PostgresServer",
    "PrometheusServer",
    "RunningWatchkeeper",
    "TargetHealth",
    "Webhook",
    "free_port",
    "mark",
    "marks",
    "recorded",
    "require",
    "require_library",
]
