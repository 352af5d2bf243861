"""Runs every program of the bookshop, each in a process of its own, at less than half the memory that they would
cost apart: `python -m pyproxy.lab.shop reviews,v2,127.0.1.4,8080,http://127.0.1.4:15007 ...`.

One process imports what all of them need and forks; what nobody changes afterwards stays shared.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import NamedTuple, NoReturn

from pyproxy.lab.services import serve


class Instance(NamedTuple):
    """One argument: which program, where it listens, and the HTTP proxy that is its way into the mesh."""

    service: str
    version: str
    address: str
    port: int
    proxy: str


def parse_instance(argument: str) -> Instance:
    """`service,version,address,port,proxy`. Raises ValueError."""
    service, version, address, port, proxy = argument.split(",")
    return Instance(service, version, address, int(port), proxy)


def main() -> None:
    """Until SIGTERM, which the instances get too, or until one of them ends: exit code 1."""
    instances = [parse_instance(argument) for argument in sys.argv[1:]]
    gc.collect()
    gc.freeze()  # or the first collection in each child would touch, and so copy, every page
    running: dict[int, str] = {}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            with suppress(ProcessLookupError):  # it ended by itself, this moment
                os.kill(pid, signal.SIGTERM)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until everybody knows what to do with it
    for instance in instances:
        pid = os.fork()
        if pid == 0:
            _become(instance)
        running[pid] = f"{instance.service} {instance.version}"
        print(f"{running[pid]}: process {pid}, {instance.address}:{instance.port}", flush=True)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    while running:
        pid, status = os.wait()
        name = running.pop(pid)
        if not stopping:
            print(f"{name} ended with {os.waitstatus_to_exitcode(status)}", flush=True)
            stop()
            sys.exit(1)


def _become(instance: Instance) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.environ["HTTP_PROXY"] = instance.proxy
    try:
        serve(instance.service, instance.version, instance.address, instance.port)
    except BaseException as error:  # never back into the parent's loop
        print(f"{instance.service} {instance.version}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
