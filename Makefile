# Shortcuts. ./lab and ./test do the same on a machine without make.

.PHONY: lab test lint fix test-compose bench profile run lock

lab:            ## a small mesh on this machine; Ctrl-C ends it
	./lab

run:            ## one proxy, with the documents in config/
	. scripts/venv.sh && venv run && .venv/bin/pyproxy run --config config

test:           ## every check there is
	./test

lint: .venv     ## style, imports, types
	scripts/lint

fix: .venv      ## what ruff can mend by itself
	.venv/bin/ruff check --quiet --fix .
	.venv/bin/ruff format --quiet .

test-compose:   ## docker-compose.yml, for real: builds its images and runs it (root, Debian)
	./test tests/compose

bench: .venv    ## pyproxy, Envoy and others side by side
	.venv/bin/python -m bench

profile: .venv  ## what each layer of pyproxy costs
	.venv/bin/python -m bench.profile

lock:           ## newest versions into requirements/*.lock
	scripts/lock

.venv: requirements/dev.lock
	. scripts/venv.sh && venv dev
	touch .venv
