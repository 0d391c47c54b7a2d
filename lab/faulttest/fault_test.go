package faulttest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// changing are the calls by which the plugin changes the kernel or its store, or asks the kernel something.
var changing = []string{"sendto", "sendmsg", "write", "renameat", "unlinkat", "mkdirat"}

// failing are the calls that fail in turn, each with an error that it can have on a host in trouble. A failed receive is
// the nastiest: the kernel has done what it was asked, and the plugin does not learn it.
var failing = map[string]string{
	"sendto": "error=ENOBUFS", "sendmsg": "error=ENOBUFS", "recvfrom": "error=ENOBUFS", "recvmsg": "error=ENOBUFS",
	"write": "error=ENOSPC", "renameat": "error=ENOSPC", "mkdirat": "error=ENOSPC", "unlinkat": "error=EIO",
	"openat": "error=EMFILE", "socket": "error=EMFILE", "setns": "error=EPERM",
}

// The real plugin on the real kernel, killed at or failing in each call of setup and teardown: the next setup builds what
// an undisturbed one builds, the next teardown leaves nothing.
func TestFaultAtEachSystemCall(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 4, Binaries: []string{labtest.Plugin(t)}})
	for i, tt := range []struct {
		name string
		run  func(*plugin)
	}{
		{"setup killed", killSetup}, {"teardown killed", killTeardown}, {"setup fails", failSetup}, {"teardown fails", failTeardown},
	} {
		h := l.Hosts()[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, h)
			tt.run(p)
			p.check("all faults", p.idle)
		})
	}
}

func killSetup(p *plugin) {
	for _, call := range changing {
		p.eachCall("setup", call, "signal=KILL", func() {}, func(what string, r result) {
			p.must("setup")
			p.check(what+" and a setup", p.running)
			p.must("teardown")
			p.checkIdle(what + ", a setup and a teardown")
			p.disturbed("setup", call, "signal=KILL", r.index)
			p.must("teardown")
			p.checkIdle(what + " and a teardown")
		})
	}
}

func killTeardown(p *plugin) {
	for _, call := range changing {
		setup := func() { p.must("setup") }
		p.eachCall("teardown", call, "signal=KILL", setup, func(what string, r result) {
			p.must("setup")
			p.check(what+" and a setup", p.running)
			p.disturbed("teardown", call, "signal=KILL", r.index)
			p.must("teardown")
			p.checkIdle(what + " and a teardown")
		})
	}
}

// After a setup that failed Podman calls no teardown, so it must have undone all itself.
func failSetup(p *plugin) {
	for _, call := range slices.Sorted(maps.Keys(failing)) {
		fault := failing[call]
		p.eachCall("setup", call, fault, func() {}, func(what string, r result) {
			switch {
			case r.status == 0: // it could do without
				p.check(what+", which it survived", p.running)
				p.must("teardown")
			case !strings.HasPrefix(r.output, `{"error":`) && call != "write":
				p.Errorf("%s: said no reason: %q", what, r.output)
			}
			p.checkIdle(what)
			p.must("setup")
			p.check(what+" and a setup", p.running)
			p.must("teardown")
		})
	}
}

func failTeardown(p *plugin) {
	for _, call := range slices.Sorted(maps.Keys(failing)) {
		fault := failing[call]
		setup := func() { p.must("setup") }
		p.eachCall("teardown", call, fault, setup, func(what string, r result) {
			if r.status != 0 {
				if !strings.HasPrefix(r.output, `{"error":`) && call != "write" {
					p.Errorf("%s: said no reason: %q", what, r.output)
				}
				p.must("teardown")
			}
			p.checkIdle(what)
		})
	}
}
