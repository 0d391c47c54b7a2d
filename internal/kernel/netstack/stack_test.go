package netstack_test

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
)

// Each namespace has its own parameters, and the caller's are left alone. Some go by rtnetlink, the
// others by files.
func TestSysctlsArePerNamespace(t *testing.T) {
	keys := []string{"net/ipv4/conf/lo/arp_notify", "net/ipv4/conf/lo/rp_filter", "net/ipv4/conf/lo/forwarding",
		"net/ipv4/conf/lo/accept_local", "net/ipv4/conf/default/rp_filter", "net/ipv4/ip_forward"}
	const none = "net/ipv4/conf/none/arp_notify"
	var open []*netstack.Stack
	for range 2 {
		ns, err := netstack.Open(netnstest.New(t))
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		open = append(open, ns)
	}
	var all []kernel.Sysctl
	before := make(map[string]string)
	for _, key := range append([]string{none, "net/ipv6/conf/none/accept_ra"}, keys...) {
		all = append(all, kernel.Sysctl{Key: key, Value: "1"})
		before[key], _ = open[1].Sysctl(key)
	}
	// What is not there is named, and does not keep the others from being set.
	err := open[0].Apply(kernel.SetSysctls{Sysctls: all})
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), none) || !strings.Contains(err.Error(), "ipv6/conf/none/accept_ra") {
		t.Errorf("got %v", err)
	}
	for _, key := range keys {
		if got, err := open[0].Sysctl(key); err != nil || got != "1" {
			t.Errorf("%s is %q, %v", key, got, err)
		}
		if got, err := open[1].Sysctl(key); err != nil || got != before[key] {
			t.Errorf("%s elsewhere is %q, was %q, %v", key, got, before[key], err)
		}
	}
	if _, err := open[0].Sysctl(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// What comes with a link's message is what the files say.
func TestLinkSysctlsMatchFiles(t *testing.T) {
	ns, err := netstack.Open(netnstest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Apply(kernel.CreateLink{Link: kernel.Link{Name: "br0", Kind: kernel.KindBridge}}); err != nil {
		t.Fatal(err)
	}
	const count = 8
	for _, value := range []string{"0", "1"} {
		l, err := ns.Link("br0", kernel.FacetSysctls)
		if err != nil || len(l.Sysctls) != count {
			t.Fatalf("%v, %v", l.Sysctls, err)
		}
		for i := range l.Sysctls {
			l.Sysctls[i].Value = value
		}
		if err := ns.Apply(kernel.SetSysctls{Sysctls: l.Sysctls}); err != nil {
			t.Fatal(err)
		}
	}
	// One after the other, so that none is taken for another.
	for changed := range count {
		l, err := ns.Link("br0", kernel.FacetSysctls)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range l.Sysctls {
			file, err := ns.Sysctl(p.Key)
			if want := strconv.Itoa(boolInt(i >= changed)); err != nil || file != p.Value || file != want {
				t.Errorf("%s: message %s, file %s, want %s; %v", p.Key, p.Value, file, want, err)
			}
		}
		off := kernel.Sysctl{Key: l.Sysctls[changed].Key, Value: "0"}
		if err := ns.Apply(kernel.SetSysctls{Sysctls: []kernel.Sysctl{off}}); err != nil {
			t.Fatal(err)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
