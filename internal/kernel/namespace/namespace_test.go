package namespace_test

import (
	"errors"
	"io/fs"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/namespace"
	"vxlan-driver/internal/kernel/netnstest"
)

// Each namespace has its own parameters, and the caller's are left alone.
func TestSysctlIsTheNamespacesOwn(t *testing.T) {
	const key = "net/ipv4/conf/lo/arp_notify"
	var open []*namespace.Namespace
	for range 2 {
		ns, err := namespace.Open(netnstest.New(t))
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		open = append(open, ns)
	}
	if err := open[0].Apply(kernel.SetSysctl{Sysctl: kernel.Sysctl{Key: key, Value: "1"}}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1", "0"} {
		if got, err := open[i].Sysctl(key); err != nil || got != want {
			t.Errorf("namespace %d: %q, %v, want %s", i, got, err, want)
		}
	}
	if _, err := open[0].Sysctl("net/ipv4/conf/none/arp_notify"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
