"""How long 1,000 VirtualServices take from text to typed, checked documents: in one file, and in a file each.

Run: python bench/load_documents.py [COUNT]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from pyproxy.istio.loader import load

DOCUMENT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: service-{n}
  namespace: shop
spec:
  hosts: [service-{n}, service-{n}.example.com]
  http:
  - name: canary
    match:
    - uri: {{prefix: /api/v{n}}}
      headers:
        x-user: {{regex: "test-.*"}}
    - queryParams: {{canary: {{exact: "1"}}}}
    rewrite: {{uri: /api}}
    timeout: 2.5s
    retries: {{attempts: 3, perTryTimeout: 500ms, retryOn: "5xx,reset"}}
    route:
    - destination: {{host: service-{n}, subset: v2, port: {{number: 8080}}}}
      weight: 10
      headers:
        response: {{set: {{x-canary: "%UPSTREAM_HOST%"}}}}
    - destination: {{host: service-{n}, subset: v1}}
      weight: 90
  - route:
    - destination: {{host: service-{n}, subset: v1}}
"""


def timed(title: str, paths: list[Path], count: int) -> None:
    start = time.perf_counter()
    loaded = load(paths)
    seconds = time.perf_counter() - start
    assert len(loaded.documents) == count and not loaded.problems, loaded.problems[:3]
    print(f"{title}: {seconds:.2f} s, {seconds / count * 1e6:.0f} µs a document")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    texts = [DOCUMENT.format(n=n) for n in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder, "all.yaml")
        one.write_text("---\n".join(texts))
        timed("one file", [one], count)
        one.unlink()
        for n, text in enumerate(texts):
            Path(folder, f"{n}.yaml").write_text(text)
        timed("a file each", [Path(folder)], count)


if __name__ == "__main__":
    main()
