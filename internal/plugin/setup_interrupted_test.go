package plugin

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
)

// A failure at whatever call leaves nothing: links, namespaces, files.
func TestSetupThatFailsAtAnyCallLeavesNothing(t *testing.T) {
	for i := 1; ; i++ {
		k, plugin := newFakeHost(t)
		before := k.HostNamespace().Links()
		k.FailAt = i
		ns, r := request(testNetwork, 1)
		_, err := plugin.Setup(ns, r)
		if k.Calls < i {
			if err != nil {
				t.Fatal(err)
			}
			if i < 20 {
				t.Fatalf("only %d calls were made to fail", i)
			}
			return
		}
		if !errors.Is(err, fakekernel.ErrInjected) {
			t.Errorf("call %d: setup returned %v", i, err)
		}
		if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
			t.Errorf("call %d: left %+v", i, after)
		}
		if files := storedFiles(t, plugin); len(files) > 0 {
			t.Errorf("call %d: left %v", i, files)
		}
		inside, err := k.Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		if left := inside.Links(); len(left) > 0 {
			t.Errorf("call %d: left %+v in the container", i, left)
		}
	}
}

// A failed setup of a second container does not harm the first.
func TestSetupThatFailsLeavesOthersAlone(t *testing.T) {
	for i := 1; ; i++ {
		k, plugin := newFakeHost(t)
		ns, r := request(testNetwork, 1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		before := k.HostNamespace().Links()
		k.FailAt = k.Calls + i
		ns, r = request(testNetwork, 2)
		if _, err := plugin.Setup(ns, r); err == nil {
			return
		}
		if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
			t.Fatalf("call %d:\nbefore %+v\nafter  %+v", i, before, after)
		}
	}
}

// Killed at whatever call, in setup or teardown: what is run next, setup or teardown, ends in the
// state it should.
func TestKilledRunIsCompletedByTheNext(t *testing.T) {
	k, plugin := newFakeHost(t)
	empty := k.HostNamespace().Links()
	ns, r := request(testNetwork, 1)
	setup := func(plugin *Plugin) error { _, err := plugin.Setup(ns, r); return err }
	teardown := func(plugin *Plugin) error { return plugin.Teardown(ns, r) }
	if err := setup(plugin); err != nil {
		t.Fatal(err)
	}
	built := withoutKernelChoices(k.HostNamespace().Links())

	for _, killed := range []string{"setup", "teardown"} {
		for i := 1; ; i++ {
			for _, next := range []string{"setup", "teardown"} {
				k, plugin := newFakeHost(t)
				run := setup
				if killed == "teardown" {
					run = teardown
					if err := setup(plugin); err != nil {
						t.Fatal(err)
					}
				}
				k.DieAt = k.Calls + i
				if run(plugin) == nil {
					goto done
				}
				k.DieAt = 0
				if next == "setup" {
					if err := setup(plugin); err != nil {
						t.Errorf("%s killed at call %d, then setup: %v", killed, i, err)
					}
					if got := withoutKernelChoices(k.HostNamespace().Links()); !reflect.DeepEqual(got, built) {
						t.Errorf("%s killed at call %d, then setup:\ngot  %+v\nwant %+v", killed, i, got, built)
					}
					continue
				}
				if err := teardown(plugin); err != nil {
					t.Errorf("%s killed at call %d, then teardown: %v", killed, i, err)
				}
				if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) {
					t.Errorf("%s killed at call %d, then teardown: left %+v", killed, i, got)
				}
				if files := storedFiles(t, plugin); len(files) > 0 {
					t.Errorf("%s killed at call %d, then teardown: left %v", killed, i, files)
				}
			}
		}
	done:
	}
}

// withoutKernelChoices leaves out what the kernel chooses.
func withoutKernelChoices(links []kernel.Link) []kernel.Link {
	for i, l := range links {
		if l.Kind != kernel.KindBridge {
			links[i].MAC = kernel.MAC{}
		}
		// The kernel keeps a list for each family.
		slices.SortStableFunc(links[i].Addrs, func(a, b kernel.Addr) int {
			return a.Prefix.Addr().BitLen() - b.Prefix.Addr().BitLen()
		})
	}
	return links
}
