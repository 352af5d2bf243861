"""Stand-ins for the base images that the Dockerfiles and docker-compose.yml name, for machines that cannot pull them.

They are made of Debian packages and carry the names of what they stand for. The machine's certificates and its pip
settings go into them, read when they are made, so that builds reach packages the way this machine does.

LOUD: Debian has neither Grafana nor Jaeger. Their stand-ins are a few lines of Python that serve their ports; they
prove that docker-compose.yml mounts, names and checks the right things, not that Grafana draws or that Jaeger stores.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.compose.engine import Engine, cache_dir

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-dev", "python3-venv")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS = 600


def make_all(engine: Engine) -> None:
    """Make the stand-ins that this engine does not have yet."""
    debian = _import_debian(engine)
    _make_python(engine, debian)
    _make_go(engine, debian)
    _make_prometheus(engine, debian)
    _make_server(engine, debian, "grafana/grafana:12.1.1", (3000,))
    _make_server(engine, debian, "jaegertracing/jaeger:2.20.0", (4317, 4318, 9411, 13133, 16686))


def _key(*parts: object) -> str:
    """What something is made of, as a tag: it is made again only when that changes."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _present(engine: Engine, tag: str) -> bool:
    return bool(engine.docker("images", "--quiet", tag).strip())


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


# Debian, which the others are made from


def _import_debian(engine: Engine) -> str:
    key = _key(SUITE, PACKAGES)
    tag = f"pyproxy-standin/debian:{key}"
    if not _present(engine, tag):
        tarball = cache_dir() / f"{SUITE}-{key}.tar"
        if not tarball.exists():
            _debootstrap(tarball)
        engine.docker("import", str(tarball), tag, timeout=SECONDS)
    return tag


def _debootstrap(tarball: Path) -> None:
    # Where this machine's apt gets the suite from; if from nowhere, debootstrap knows a mirror itself.
    sites = _output("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", f"Codename: {SUITE}")
    mirror = sites.split()[:1]
    include = f"--include={','.join(PACKAGES)}"
    with tempfile.TemporaryDirectory(dir=tarball.parent) as folder:
        root, unfinished = Path(folder, "root"), Path(folder, "root.tar")
        _run("debootstrap", "--variant=minbase", include, SUITE, str(root), *mirror)
        excluded = [f"--exclude=./var/{folder}/*" for folder in ("cache/apt", "lib/apt/lists")]
        _run("tar", "-C", str(root), *excluded, "-cf", str(unfinished), ".")
        unfinished.rename(tarball)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


# The images with the real names


def _make_python(engine: Engine, debian: str) -> None:
    """Debian's python3 under the name that it has in the official image, with pip set up as it is here."""
    pip_conf = _pip_conf(_output(sys.executable, "-m", "pip", "config", "list"))

    def fill(context: Path) -> None:
        (context / "pip.conf").write_text(pip_conf)
        shutil.copy(CERTIFICATES, context / "ca-certificates.crt")

    recipe = (
        f"FROM {debian}",
        f"COPY ca-certificates.crt {CERTIFICATES}",
        "COPY pip.conf /etc/pip.conf",
        "RUN ln -s /usr/bin/python3 /usr/local/bin/python",
    )
    _make(engine, "python:3.12-slim-bookworm", recipe, fill, _key(pip_conf, CERTIFICATES.read_bytes()))


def _pip_conf(listing: str) -> str:
    """A pip.conf with what says how an index is reached, from `pip config list`: lines like global.timeout='60'."""
    wanted = ("index-url", "extra-index-url", "trusted-host", "timeout", "proxy", "default-timeout")
    settings: dict[str, str] = {}
    # Environment variables (":env:.timeout") win over files ("global.timeout").
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    lines = [f"{name} = {settings[name]}" for name in wanted if name in settings]
    return "\n".join(["[global]", f"cert = {CERTIFICATES}", *lines, ""])


def _make_go(engine: Engine, debian: str) -> None:
    """The Go of this machine, whichever version that is: the services ask for 1.19, and for 1.24 to speak gRPC."""
    root = Path(_output("go", "env", "GOROOT").strip())

    def fill(context: Path) -> None:
        shutil.copytree(root, context / "go")  # follows links: Debian's GOROOT is made of links to elsewhere

    recipe = (f"FROM {debian}", "COPY go /usr/local/go", "ENV PATH=/usr/local/go/bin:$PATH GOTOOLCHAIN=local")
    _make(engine, "golang:1.26-bookworm", recipe, fill, _key(_output("go", "version")))


def go_version() -> tuple[int, int]:
    """Of this machine's Go: (1, 26)."""
    major, minor = _output("go", "env", "GOVERSION").removeprefix("go").split(".")[:2]
    return int(major), int(re.split(r"\D", minor)[0])


def _make_prometheus(engine: Engine, debian: str) -> None:
    """Debian's Prometheus, laid out as in the official image."""
    programs = [Path(shutil.which(name) or name) for name in ("prometheus", "promtool")]

    def fill(context: Path) -> None:
        for program in programs:
            shutil.copy(program, context / program.name)

    recipe = (
        f"FROM {debian}",
        "COPY prometheus promtool /bin/",
        "RUN mkdir /prometheus && chown nobody:nogroup /prometheus",
        "USER nobody",
        'VOLUME ["/prometheus"]',
        "WORKDIR /prometheus",
        'ENTRYPOINT ["/bin/prometheus"]',
        'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]',
    )
    _make(engine, "prom/prometheus:v3.5.0", recipe, fill, _key(_output("prometheus", "--version")))


_SERVER = """
import collections, json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
posted = collections.Counter()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(posted).encode())
    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        posted.update(span["localEndpoint"]["serviceName"] for span in sent)
        self.send_response(202)
        self.end_headers()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
servers = [ThreadingHTTPServer(("0.0.0.0", int(port)), Handler) for port in sys.argv[1:]]
threads = [threading.Thread(target=server.serve_forever) for server in servers]
for thread in threads:
    thread.start()
"""
_WGET = """#!/usr/bin/python3
import sys
from urllib.request import urlopen
urlopen(sys.argv[-1], timeout=2).read()
"""


def _make_server(engine: Engine, debian: str, name: str, ports: tuple[int, ...]) -> None:
    """What answers every GET with how many Zipkin spans each service has posted; and the wget of the real images."""

    def fill(context: Path) -> None:
        (context / "server.py").write_text(_SERVER)
        (context / "wget").write_text(_WGET)
        (context / "wget").chmod(0o755)

    recipe = (
        f"FROM {debian}",
        "COPY server.py /server.py",
        "COPY wget /usr/bin/wget",
        "USER nobody",
        f"ENTRYPOINT {json.dumps(['python3', '/server.py', *map(str, ports)])}",
    )
    _make(engine, name, recipe, fill, _key(_SERVER, _WGET))


def _make(engine: Engine, name: str, recipe: tuple[str, ...], fill: Callable[[Path], None], made_of: str) -> None:
    """Build the recipe in a folder that `fill` fills, unless it was built of the same before; then give it its name."""
    tag = f"pyproxy-standin/{name.partition(':')[0]}:{_key(recipe, made_of)}"
    if not _present(engine, tag):
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            fill(context)
            (context / "Dockerfile").write_text("\n".join(recipe))
            engine.docker("build", "--network", "none", "--tag", tag, folder, timeout=SECONDS)
    engine.docker("tag", tag, name)
