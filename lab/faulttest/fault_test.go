package faulttest

import (
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Whichever system call of setup or teardown kills the plugin or fails, the next setup builds what
// an undisturbed one builds, and the next teardown leaves nothing.
func TestPluginSurvivesFaultAtEachSystemCall(t *testing.T) {
	tests := []struct {
		name string
		run  func(*plugin)
	}{
		{"setup killed", killSetup},
		{"teardown killed", killTeardown},
		{"setup fails", failSetup},
		{"teardown fails", failTeardown},
	}
	l := labtest.Start(t, lab.Config{Hosts: len(tests), Binaries: []string{labtest.Plugin(t), labtest.Tool(t, "faultinject")}})
	for i, tt := range tests {
		h := l.Hosts()[i]
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPlugin(t, h)
			tt.run(p)
			p.checkSnapshot("all faults", p.idle)
		})
	}
}

func killSetup(p *plugin) {
	p.forEachCall("setup", "kill", func() {}, func(nth int, what string, _ result) {
		p.mustSucceed("setup")
		p.checkSnapshot(what+" and a setup", p.running)
		p.mustSucceed("teardown")
		p.checkIdle(what + ", a setup and a teardown")
		p.runWithFault("setup", "kill", nth)
		p.mustSucceed("teardown")
		p.checkIdle(what + " and a teardown")
	})
}

func killTeardown(p *plugin) {
	p.forEachCall("teardown", "kill", func() { p.mustSucceed("setup") }, func(nth int, what string, _ result) {
		p.mustSucceed("setup")
		p.checkSnapshot(what+" and a setup", p.running)
		p.runWithFault("teardown", "kill", nth)
		p.mustSucceed("teardown")
		p.checkIdle(what + " and a teardown")
	})
}

// Podman calls no teardown after a setup that failed, so setup must undo everything itself.
func failSetup(p *plugin) {
	p.forEachCall("setup", "fail", func() {}, func(_ int, what string, r result) {
		if r.status == 0 { // it could do without
			p.checkSnapshot(what, p.running)
			p.mustSucceed("teardown")
			p.checkIdle(what + " and a teardown")
			return
		}
		p.checkReason(what, r)
		p.checkIdle(what) // so the next setup finds what an undisturbed one does
	})
}

func failTeardown(p *plugin) {
	p.forEachCall("teardown", "fail", func() { p.mustSucceed("setup") }, func(_ int, what string, r result) {
		if r.status != 0 {
			p.checkReason(what, r)
			p.mustSucceed("teardown")
		}
		p.checkIdle(what)
	})
}

// checkReason fails if a plugin that failed did not say why.
func (p *plugin) checkReason(what string, r result) {
	p.Helper()
	// The call that failed may be the one that writes the answer.
	if !strings.HasPrefix(r.output, `{"error":`) && r.faultyCall != "write" {
		p.Errorf("%s: gives no reason", what)
	}
}
