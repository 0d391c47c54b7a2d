package rtnl_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/rtnl"
)

const everything = kernel.FacetAddrs | kernel.FacetRoutes | kernel.FacetFDB

// host is a fresh namespace; a bridge stands for its physical interface.
type host struct {
	*rtnl.Conn
	testing.TB
	path string
}

func newHost(t testing.TB) host {
	t.Helper()
	path := netnstest.New(t)
	c, err := rtnl.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return host{c, t, path}
}

// underlay is newHost with the interface phys, which is up and has addresses.
func underlay(t testing.TB) host {
	t.Helper()
	h := newHost(t)
	h.apply(
		kernel.CreateLink{Link: kernel.Link{Name: "phys", Kind: kernel.KindBridge, MTU: 1500}},
		kernel.SetUp{Name: "phys"},
		addAddr("phys", "198.18.0.1/24"),
		addAddr("phys", "2001:db8::1/64"),
	)
	return h
}

func (h host) apply(changes ...kernel.Change) {
	h.Helper()
	for _, ch := range changes {
		if err := h.Apply(ch); err != nil {
			h.Fatal(err)
		}
	}
}

// refuses applies a change that must fail with all the texts in its error.
func (h host) refuses(ch kernel.Change, texts ...string) error {
	h.Helper()
	err := h.Apply(ch)
	if err == nil {
		h.Fatalf("%s: no error", ch)
	}
	for _, text := range append(texts, ch.String()) {
		if !strings.Contains(err.Error(), text) {
			h.Errorf("error %q lacks %q", err, text)
		}
	}
	return err
}

func (h host) link(name string) kernel.Link {
	h.Helper()
	l, err := h.Link(name, everything)
	if err != nil {
		h.Fatal(err)
	}
	return l
}

// tool runs ip or bridge in the namespace: what another program makes or sees.
func (h host) tool(args ...string) (out string) {
	h.Helper()
	if _, err := exec.LookPath(args[0]); err != nil && os.Getenv("CI") != "true" {
		h.Skip(err)
	}
	h.inside(func() error { // a process is born where the thread is
		b, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		out = string(b)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	})
	return out
}

// sysctl sets a value of the namespace.
func (h host) sysctl(name, value string) {
	h.Helper()
	h.inside(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

func (h host) inside(fn func() error) {
	h.Helper()
	if err := netns.Do(h.path, fn); err != nil {
		h.Fatal(err)
	}
}

func addAddr(name, prefix string) kernel.AddAddr {
	return kernel.AddAddr{Name: name, Addr: kernel.Addr{Prefix: netip.MustParsePrefix(prefix), NoDAD: true}}
}

func delAddr(name, prefix string) kernel.DelAddr {
	return kernel.DelAddr{Name: name, Addr: kernel.Addr{Prefix: netip.MustParsePrefix(prefix)}}
}

func prefixes(addrs []kernel.Addr) (s []string) {
	for _, a := range addrs {
		s = append(s, a.Prefix.String())
	}
	return s
}

// equal compares in order, and prints both sides.
func equal[T comparable](t testing.TB, what string, have []T, want ...T) {
	t.Helper()
	if !slices.Equal(have, want) {
		t.Errorf("%s:\nhave %v\nwant %v", what, have, want)
	}
}
