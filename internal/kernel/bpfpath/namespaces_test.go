package bpfpath

import (
	"os"
	"path/filepath"
	"testing"

	"vxlan-driver/internal/kernel/fastpath"
)

// Two hosts share one BPF file system, as containers may. Neither takes the other's programs for its own or
// removes them.
func TestSharedFileSystem(t *testing.T) {
	a, b := newPair(t, underlay{})
	all := filepath.Dir(a.programs.Dir)
	for _, h := range []*realHost{a, b} {
		h.programs = &Programs{Dir: filepath.Join(all, filepath.Base(fastpath.NamespacePins(h.path)))}
		h.open()
	}
	if a.programs.Dir == b.programs.Dir {
		t.Fatalf("both pin in %s", a.programs.Dir)
	}
	connectPair(a, b)
	for _, h := range []*realHost{a, b} {
		h.newAgent()
	}
	connectPair(a, b)
	if !takes(a, b) {
		t.Error("not by the programs")
	}
	if err := a.programs.RemovePinned(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.programs.layoutDir()); err != nil {
		t.Error(err)
	}
	if err := b.stack.Stack.RemoveFastPath("vx.0"); err != nil { // the plugin
		t.Fatal(err)
	}
	if _, err := os.Stat(all); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

// What was pinned for a namespace whose links are all gone goes, as does what an early version has pinned.
// What another namespace uses stays, and what somebody is about to pin.
func TestLeftBehind(t *testing.T) {
	a, b := newPair(t, underlay{})
	all := filepath.Dir(a.programs.Dir)
	c := newRealHost(t, 3)
	c.sh("ip link add eth0 type veth peer name eth0-end; ip link set eth0-end up")
	c.connect(underlay{})
	c.programs = &Programs{Dir: filepath.Join(all, "netns-2")}
	c.open()
	c.set(c.want(b))
	for _, dir := range []string{"1/networks/vx:0", "netns-3/3/networks"} {
		if err := os.MkdirAll(filepath.Join(all, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a.set(a.want(b))
	wantEntries(t, all, "netns-1", "netns-2", "netns-3")
	a.newAgent()
	c.sh("ip link del vx.0; ip link del c0; ip link del eth0")
	a.set(a.want(b))
	wantEntries(t, all, "netns-1", "netns-3")
}

func wantEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if len(entries) != len(want) || e.Name() != want[i] {
			t.Fatalf("got %v, want %v", entries, want)
		}
	}
}
