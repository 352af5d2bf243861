"""Sends N requests over C connections, each as fast as it is answered, and counts the answers: a small fortio.

python3 examples/load.py -c 3 -n 30 -H 'Host: details' http://127.0.1.1:15001/details/0
"""

from __future__ import annotations

import argparse
import http.client
import threading
from collections import Counter
from urllib.parse import urlsplit


def run(url: str, headers: dict[str, str], count: int, found: Counter[str]) -> None:
    """One connection; it is made anew when the other side closes it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
    for _ in range(count):
        try:
            connection.request("GET", parts.path or "/", headers=headers)
            response = connection.getresponse()
            response.read()
            found[str(response.status)] += 1
        except (OSError, http.client.HTTPException):
            found["none"] += 1
            connection.close()
    connection.close()


def load(url: str, headers: dict[str, str], clients: int, requests: int) -> Counter[str]:
    """How many of each status; `none` where there was no answer."""
    found: list[Counter[str]] = [Counter() for _ in range(clients)]
    shares = [requests // clients + (number < requests % clients) for number in range(clients)]
    threads = [
        threading.Thread(target=run, args=(url, headers, share, counter))
        for share, counter in zip(shares, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found, Counter())


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("-c", "--clients", type=int, default=1)
    parser.add_argument("-n", "--requests", type=int, default=20)
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'Name: value'")
    options = parser.parse_args()
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in options.header)}
    found = load(options.url, headers, options.clients, options.requests)
    for code, count in sorted(found.items()):
        print(f"Code {code} : {count} ({100 * count / options.requests:.1f} %)")


if __name__ == "__main__":
    main()
