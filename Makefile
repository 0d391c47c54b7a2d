# The README's two commands are `make demo` and `make test`. Both do all the
# set-up there is: they install what is missing and bootstrap the lab once.

SHELL      := /bin/bash
GO         ?= go
PREFIX     ?= /usr/local
# The version that the programs print. Git refuses a tree of another user, as with sudo make, unless told otherwise; for the
# same reason the go command is told not to ask Git.
VERSION    ?= $(shell git -c safe.directory='$(CURDIR)' describe --tags --always --dirty 2>/dev/null)
# PREFIX is in the programs too: messages and manual pages name files below it.
BUILDFLAGS  = -trimpath -buildvcs=false -ldflags '-s -w -X vxlan-driver/internal/version.linked=$(VERSION) -X vxlan-driver/internal/installed.prefix=$(PREFIX)'
FUZZTIME   ?= 10s

export CGO_ENABLED = 0

# All packages but the lab's.
UNITS = . ./internal/... ./cmd/... ./bench/...

.PHONY: help build demo test test-unit test-race test-lab faults healthy etcd-faults planes test-matrix test-kernel bench bench-quick dashboard lint docs sim sim-large etcd-scale fuzz fuzz-wire share packages lint-packages test-packages install uninstall deps clean

build: bin/vxlan bin/vxland bin/vxlanctl bin/lab

# The go command knows what has changed.
bin/vxlan bin/vxland bin/vxlanctl bin/lab bin/bench bin/probe: FORCE
	$(GO) build $(BUILDFLAGS) -o $@ ./$(if $(filter bin/lab,$@),lab/,$(if $(filter bin/bench bin/probe,$@),bench/))cmd/$(@F)
FORCE:

# Installs what this machine lacks, with apt.
deps:
	@./lab/deps.sh

demo: deps
	@$(MAKE) --no-print-directory -s build
	@bin/lab demo

# Unit tests, tests in real namespaces, the lab on Debian 13's Podman. The lab's packages run one after the other, since others
# would disturb the timing of those tests that run alone, and never from the cache, which does not know that they depend on
# bin/vxlan. A clone in another directory finds what is compiled already (-trimpath), and "make lint" has called go vet. After
# the race detector only those packages are tested once more that it tests with one processor, or with wider bounds.
# A package may take longer than go test's ten minutes where the machine has other work. What hangs is found a bit later.
TESTFLAGS = -trimpath -vet=off -timeout 30m
# Packages at once of those that are tested twice. The slow ones wait for keys to change: four take 86 s, two 118 s.
ATONCE    = $(shell n=$$(nproc); echo $$((n > 4 ? n : 4)))
test: deps build
	@# The lab's tree comes from the network while the code is looked at. If it does not, the lab's tests say why.
	@if [ "$$(id -u)" = 0 ]; then bin/lab prepare >/dev/null & trap "kill $$!" INT TERM; fi; \
	$(MAKE) --no-print-directory lint test-race; result=$$?; wait; exit $$result
	cd packaging/nfpm && $(GO) test $(TESTFLAGS) -short -count=1 ./...
	@if command -v gcc >/dev/null; then packages="$(BUBBLES) ./internal/cluster/gossip/..."; else packages="$(UNITS)"; fi; \
	$(GO) test $(TESTFLAGS) -p $(ATONCE) -count=1 $$packages
	$(GO) test $(TESTFLAGS) -p 1 -count=1 ./lab/...

# The race detector needs a C compiler, which is not installed for it alone. Tests in synctest bubbles get one processor, since
# Go 1.26 can crash otherwise: goroutines whose timers are due share the bubble's race context, and its stack breaks when two use
# it at once. The detector finds unordered accesses on one processor too.
BUBBLES  = $$($(GO) list -f '{{range .TestImports}}{{if eq . "testing/synctest"}}{{$$.ImportPath}}{{end}}{{end}}{{range .XTestImports}}{{if eq . "testing/synctest"}}{{$$.ImportPath}}{{end}}{{end}}' $(UNITS))
test-race: deps
	@if command -v gcc >/dev/null; then \
		export CGO_ENABLED=1; bubbles="$(BUBBLES)"; \
		$(GO) test $(TESTFLAGS) -p $(ATONCE) -race -cpu 1 $$bubbles && $(GO) test $(TESTFLAGS) -race $$($(GO) list $(UNITS) | grep -vxF "$$bubbles"); \
	else echo 'race detector: not run, since this machine has no C compiler'; fi

# Without the lab: seconds.
test-unit:
	$(GO) test $(UNITS)

test-lab: deps build
	$(GO) test -p 1 -count=1 -v ./lab/...

# All faults that doctor is tested with, one after the other: 35 minutes. "make test" tries a few of them, and
# FAULTS='route|rule' those whose names match.
FAULTS ?= all
faults: deps build
	FAULTS='$(FAULTS)' $(GO) test -p 1 -parallel 1 -count=1 -timeout 60m -v ./internal/doctor/survey ./lab/doctortest

# On healthy hosts of each kind doctor finds nothing, with each version of Podman: three minutes, once their trees are there.
healthy: deps build
	for suite in trixie forky experimental; do echo "== $$suite"; VXLAN_LAB_SUITE=$$suite $(GO) test -count=1 -v -run TestHealthyHosts ./lab/doctortest || exit 1; done

# What can happen to etcd's three servers and to hosts, at length: the leader dies during 200 claims, all servers die during
# starts. "make test" has a short form.
etcd-faults: deps build
	ETCD_FAULTS=1 $(GO) test -p 1 -count=1 -timeout 30m -v -run 'Test(Leader|Servers|HostCutOff)' ./lab/etcdtest

# The tests of discovery and addresses with all planes: lists, gossip and etcd. "make test" has most of them with one.
PLANE ?= .*
planes: deps build
	PLANES=all $(GO) test -p 1 -count=1 -timeout 60m -v -run 'TestPlanes/.*/^$(PLANE)$$' ./lab/addresstest ./lab/agenttest ./lab/gossiptest

# The lab's tests on Debian testing's Podman too, and on Podman 6 of Debian experimental.
test-matrix: deps build
	for suite in trixie forky experimental; do echo "== $$suite"; VXLAN_LAB_SUITE=$$suite $(GO) test -p 1 -count=1 ./lab/... || exit 1; done

# What depends on the kernel, on those of Debian 12, 13, testing and the newest one: in virtual machines without
# acceleration, which takes tens of minutes. KERNELS=trixie picks some by their suites.
KERNELS ?= bookworm trixie forky trixie-backports
KERNELTESTS = $(addprefix ./internal/kernel/,bpfpath fastpath netstack nft rtnl wireguard)
test-kernel: deps bin/lab
	@bin/lab prepare -suite trixie
	@result=0; for suite in $(KERNELS); do GO='$(GO)' lab/kerneltest/run.sh $$suite $(KERNELTESTS) || result=1; done; exit $$result

# Side by side with netavark's bridge, VXLAN by hand and Docker's overlay: docs/design/performance.md. Nothing else should run
# meanwhile. SECTION=start,traffic,scale,plugin,agent,encryption picks some; each takes less than six minutes, and TIMES=4 four times as
# long, for intervals half as wide.
SECTION ?= start,traffic,scale,plugin,agent,encryption
TIMES ?= 1
bench: deps build bin/bench bin/probe
	bin/bench -section $(SECTION) -times $(TIMES)

# Takes less than two minutes, and fails when a ratio is certainly beyond its bound. It is no part of "make test", since other
# tests on the machine would disturb it.
bench-quick: deps build bin/bench bin/probe
	bin/bench -quick -section start,traffic,plugin

# Draws the picture of the dashboard in docs/user: what a real Prometheus measures on three lab hosts to which things happen for
# three minutes. It needs Debian's package prometheus.
dashboard: deps build
	$(GO) build $(BUILDFLAGS) -o bin/dashboard ./bench/cmd/dashboard
	bin/dashboard -lab >bin/dashboard.svg && mv bin/dashboard.svg docs/user/dashboard.svg

# Who looks at packages has them compiled first. With the flags of the tests they are compiled already.
lint: export GOFLAGS = $(shell $(GO) env GOFLAGS) -trimpath -buildvcs=false
lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd packaging/nfpm && $(GO) mod tidy -diff && $(GO) vet ./...

# Writes what is made from code: the reference of options, and the codes of faults. A test fails when it is out of date.
docs:
	$(GO) generate ./internal/docgen

# Propagation of a container's start, and what that costs a host, among up to 100 hosts in virtual time;
# then joining and claims.
SIM = $(GO) test -count=1 -timeout 2h -v -run '^TestPropagation$$' ./internal/cluster/gossip
sim:
	SIM_ROUNDS=$${SIM_ROUNDS:-100} SIM_HOSTS=$${SIM_HOSTS:-3,25,100} $(SIM)
	STATES=$${STATES:-100} REKEYS=$${REKEYS:-10000} $(GO) test -count=1 -v -timeout 1h -run '^(TestKeysRotateWithoutLoss|TestHostsAgreeFromAnyState)$$' ./internal/encryption
	SIM_JOINS=$${SIM_JOINS:-1000} SIM_CLAIMS=$${SIM_CLAIMS:-10000} $(GO) test -count=1 -v -timeout 1h -run '^(TestReadyHostIsNeverAlone|TestSimultaneousClaims)$$' ./internal/cluster/gossip

# Among 1,000 hosts. Takes half an hour or more, and up to 10 GB.
sim-large:
	GOGC=$${GOGC:-150} SIM_ROUNDS=$${SIM_ROUNDS:-3} SIM_HOSTS=$${SIM_HOSTS:-1000} SIM_CONTAINERS=$${SIM_CONTAINERS:-5} $(SIM)

# Hosts that talk to a real etcd on this machine: how soon others know a container among 3 to 1,000 hosts, what that
# costs, claims a second, and an agent that programs 50,000 entries. As root; a quarter of an hour.
etcd-scale:
	ETCD_SCALE=$${ETCD_SCALE:-3,25,102,1000} $(GO) test -count=1 -v -timeout 1h -run '^(TestScale|TestClaimRate)$$' ./internal/cluster/etcd
	MANY_HOSTS_ETCD=1 $(GO) test -count=1 -v -timeout 10m -run '^TestManyHostsInEtcd$$' ./internal/agent

# What other hosts send.
WIREFUZZ = FuzzMessage FuzzDigests FuzzRequest FuzzRecords FuzzContent FuzzDelta FuzzSummary FuzzQuestion FuzzAnswer
fuzz:
	for f in FuzzOptions FuzzParse FuzzEndpoint; do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./internal/network || exit 1; done
	$(GO) test -run '^$$' -fuzz '^FuzzRequest$$' -fuzztime $(FUZZTIME) ./internal/netavark
	$(GO) test -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME) ./internal/kernel/addrprobe
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) ./internal/cluster/etcd/record
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) ./internal/definition
	$(GO) test -run '^$$' -fuzz '^FuzzMessages$$' -fuzztime $(FUZZTIME) ./internal/kernel/netlink
	$(GO) test -run '^$$' -fuzz '^FuzzRequest$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./internal/agentapi
	$(GO) test -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./internal/config
	$(GO) test -run '^$$' -fuzz '^FuzzMessage$$' -fuzztime $(FUZZTIME) ./internal/firewalld
	$(GO) test -run '^$$' -fuzz '^FuzzZeroChecksum$$' -fuzztime $(FUZZTIME) ./internal/kernel/wireguard/wggo
	for f in FuzzQuery FuzzUpstream FuzzName FuzzResolvConf; do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./internal/dns || exit 1; done
	for f in $(WIREFUZZ); do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./internal/cluster/gossip/wire || exit 1; done
	$(GO) test -run '^$$' -fuzz '^FuzzPacket$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./internal/cluster/gossip
	$(GO) test -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./internal/clusterkey
	$(GO) test -run '^$$' -fuzz '^FuzzToken$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./internal/enrol

# Ten million messages, contents of records and deltas that were changed at random: what comes from other hosts. Then each of
# the fuzz tests, which look for new ways through the code. Takes a quarter of an hour.
fuzz-wire:
	WIRE_RUNS=10000000 $(GO) test -count=1 -timeout 2h -v -run '^TestDecoderOnMutations$$' ./internal/cluster/gossip/wire
	for f in $(WIREFUZZ); do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 1m -fuzzminimizetime 100x ./internal/cluster/gossip/wire || exit 1; done

# What is generated for users beside the programs: completions, and man pages with the commit's date. packaging/files says where
# it goes.
bin/share:
	@$(MAKE) --no-print-directory share
share: bin/vxlanctl
	@rm -rf bin/share && mkdir -p bin/share/bash bin/share/zsh bin/share/fish
	@bin/vxlanctl completion bash >bin/share/bash/vxlanctl
	@bin/vxlanctl completion zsh >bin/share/zsh/_vxlanctl
	@bin/vxlanctl completion fish >bin/share/fish/vxlanctl.fish
	@rm -rf bin/share/man
	@$(GO) run $(BUILDFLAGS) ./internal/docgen -man bin/share/man -date '$(or $(SOURCE_DATE_EPOCH),0)' .

# Deb, rpm and Arch Linux packages, bills of materials and SHA256SUMS, in PACKAGES. The same commit gives the same bytes.
# ARCHS and FORMATS pick some. The time of all files is the commit's.
PACKAGES ?= bin/packages
ARCHS    ?= amd64 arm64
FORMATS  ?= deb rpm archlinux
SOURCE_DATE_EPOCH ?= $(shell git -c safe.directory='$(CURDIR)' log -1 --format=%ct 2>/dev/null)
comma    := ,
empty    :=
list      = $(subst $(empty) $(empty),$(comma),$(strip $(1)))
packages: override PREFIX := /usr
packages: share
	$(foreach arch,$(ARCHS),GOARCH=$(arch) $(GO) build $(BUILDFLAGS) -o bin/programs/$(arch)/ ./cmd/... &&) true
	cd packaging/nfpm && $(GO) run -trimpath . -programs ../../bin/programs -out '$(abspath $(PACKAGES))' -version '$(VERSION)' \
		-date '$(SOURCE_DATE_EPOCH)' -arch '$(call list,$(ARCHS))' -format '$(call list,$(FORMATS))'

# What lintian and rpmlint call an error. packaging/rpmlint.toml and packaging/debian/lintian-overrides say what is meant so.
lint-packages: packages
	@# The last three are what rpmlint calls.
	@for tool in lintian rpmlint rpm rpm2cpio cpio; do command -v $$tool >/dev/null || apt-get install -qq -y --no-install-recommends $$tool; done
	lintian --fail-on error $(PACKAGES)/*.deb
	@# rpmlint unpacks with cpio, which follows absolute names: it would put the files onto this machine.
	@for rpm in $(PACKAGES)/*.rpm; do \
		names=$$(rpm2cpio $$rpm | cpio -t --quiet) && test -n "$$names" && ! echo "$$names" | grep -v '^[.]/' || exit 1; \
	done
	rpmlint --config packaging/rpmlint.toml $(PACKAGES)/*.rpm

# The long tests of packages: two builds with nothing shared, in minutes; the life of a package on Debian 13 and testing, also
# when it replaces that of the commit OLDER; the quickstart with dnf; the programs for arm64 under emulation; and installation in
# trees that have nothing but the base system, where apt brings what the package needs.
OLDER ?= 469642b
test-packages: deps build lint-packages
	@command -v mksquashfs >/dev/null || apt-get install -qq -y --no-install-recommends squashfs-tools
	cd packaging/nfpm && REPRODUCE=full $(GO) test $(TESTFLAGS) -count=1 -timeout 60m ./...
	lab/packagetest/emulated.sh $(PACKAGES)
	lab/packagetest/older.sh $(OLDER) bin/older
	for suite in trixie forky; do \
		IMAGES=1 OLDER_DEB='$(CURDIR)/bin/older/older.deb' VXLAN_LAB_SUITE=$$suite $(GO) test $(TESTFLAGS) -count=1 ./lab/packagetest || exit 1; \
	done
	DNF=1 VXLAN_LAB_SUITE=dnf $(GO) test $(TESTFLAGS) -count=1 -run TestQuickstartByDnf ./lab/docstest
	for suite in trixie forky; do lab/packagetest/clean.sh $$suite $(PACKAGES) || exit 1; done

# packaging/files lists what is installed.
install: bin/vxlan bin/vxland bin/vxlanctl share
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' packaging/install.sh install

uninstall: bin/share
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' FORCE='$(FORCE)' packaging/install.sh uninstall

clean:
	rm -rf bin

help:
	@echo 'make demo         three Podman hosts on this machine, and what a user types on them'
	@echo 'make test         everything: lint, unit, real-namespace and lab tests'
	@echo 'make test-unit    without the lab: seconds'
	@echo 'make test-lab     only the lab'
	@echo 'make faults       all faults that vxlanctl doctor is tested with;  FAULTS=EXPRESSION: those whose names match'
	@echo 'make healthy      vxlanctl doctor finds nothing on healthy hosts, with Podman 5.4, of Debian testing and 6'
	@echo 'make etcd-faults  what can happen to the servers of etcd, at length;  make planes: discovery and addresses with all planes (PLANE=etcd: one)'
	@echo 'make test-matrix  the lab on Podman 5.4, on Debian testing and on Podman 6'
	@echo 'make test-kernel  tests of fast path and WireGuard on kernels of Debian 12, 13, testing and the newest;  KERNELS=SUITE picks some'
	@echo 'make test-race    with the race detector'
	@echo 'make bench        measure side by side, into bench/out; SECTION=start,traffic,scale,plugin,agent,encryption picks some'
	@echo 'make bench-quick  less than two minutes: fails when a ratio is beyond its bound'
	@echo 'make dashboard    draw the picture of the dashboard again, from a run of the lab: four minutes'
	@echo 'make sim          how fast a container is known on 3, 25 and 100 simulated hosts'
	@echo 'make sim-large    the same on 1,000 hosts: half an hour or more'
	@echo 'make etcd-scale   hosts that talk to a real etcd: propagation, claims a second, 50,000 entries'
	@echo 'make fuzz         FUZZTIME=10s for each fuzz target'
	@echo 'make fuzz-wire    ten million messages for the decoder of gossip'
	@echo 'make lint         gofmt, go mod tidy, go vet, staticcheck'
	@echo 'make docs         write the pages that are made from code'
	@echo 'make build        bin/vxlan, bin/vxland, bin/vxlanctl and bin/lab;  make install puts them, and systemd units, below PREFIX (/usr/local)'
	@echo 'make packages     deb, rpm and Arch Linux packages for amd64 and arm64, into bin/packages'
	@echo 'make lint-packages  lintian and rpmlint;  make test-packages: the long tests of packages'
	@echo 'make uninstall    removes them, and what the driver has left on the host'
