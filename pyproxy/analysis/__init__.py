"""Documents against each other, what one request would meet, route tests: no I/O, and no running proxy."""
