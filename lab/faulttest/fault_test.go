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

// After a setup or a teardown that failed, or was killed, so that nothing was undone, the container
// is gone and nobody tears it down. What is left of it goes with the next reload, with the next
// start on the network, or with a teardown.
func TestFaultInUndoLeavesNoOrphan(t *testing.T) {
	type fault struct{ verb, kind string }
	remedies := []struct {
		name   string
		apply  func(*plugin)
		faults []fault
	}{
		{
			"reload", func(p *plugin) { labtest.Sh(p, p.host, "vxlanctl reload") },
			[]fault{{"setup", "fail -all"}, {"teardown", "kill"}},
		},
		{
			"the next start", func(p *plugin) {
				labtest.Sh(p, p.host, "vxlan setup /run/netns/c3 </tmp/request3 && vxlan teardown /run/netns/c3 </tmp/request3")
			},
			[]fault{{"setup", "fail -then 3"}, {"teardown", "fail -all"}},
		},
		{
			"a teardown", func(p *plugin) { p.mustSucceed("teardown") },
			[]fault{{"setup", "fail -all"}, {"teardown", "fail -all"}},
		},
	}
	l := labtest.Start(t, lab.Config{Hosts: len(remedies), Binaries: []string{labtest.Plugin(t), labtest.Tool(t, "faultinject"), labtest.Binary(t, "vxlanctl")}})
	for i, remedy := range remedies {
		h := l.Hosts()[i]
		t.Run(remedy.name, func(t *testing.T) {
			t.Parallel()
			p := startPlugin(t, h)
			addThirdContainer(p)
			for _, f := range remedy.faults {
				prepare := func() {
					if f.verb == "teardown" {
						p.mustSucceed("setup")
					}
				}
				p.forEachCall(f.verb, f.kind, prepare, func(_ int, what string, _ result) {
					p.removeContainer()
					remedy.apply(p)
					p.addContainer()
					p.checkIdle(what + ", the end of the container and " + remedy.name)
				})
			}
		})
	}
}

// addThirdContainer adds a container 3 that may join network 1.
func addThirdContainer(p *plugin) {
	p.Helper()
	third := strings.NewReplacer(`"c1"`, `"c3"`, "container-1", "container-3", "10.1.0.2", "10.1.0.3", "fd00:1::2", "fd00:1::3", "8081", "8083")
	first, err := p.host.Sh(p.Context(), "cat /tmp/request1")
	if err != nil {
		p.Fatal(err)
	}
	if err := p.host.WriteFile("/tmp/request3", []byte(third.Replace(first)), 0o600); err != nil {
		p.Fatal(err)
	}
	labtest.Sh(p, p.host, "ip netns add c3; ip -n c3 link set lo up")
}

// removeContainer ends container 1, and returns when the kernel has removed its interfaces.
func (p *plugin) removeContainer() {
	p.Helper()
	labtest.Sh(p, p.host, "ip netns del c1; while ip link | grep -q 'vxlan-driver container c1 '; do sleep 0.01; done")
}

// addContainer makes an empty namespace for container 1.
func (p *plugin) addContainer() {
	p.Helper()
	labtest.Sh(p, p.host, "ip netns add c1; ip -n c1 link set lo up")
}
