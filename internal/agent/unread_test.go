package agent

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// published returns the names of the containers that the others are told of.
func (r *rig) published() (names []string) {
	for _, m := range r.cluster().seen().own {
		for _, e := range m.Endpoints {
			names = append(names, e.Names[0])
		}
	}
	return names
}

// A store that cannot be read for a while, as for want of descriptors or by a fault of the disk, takes
// nothing from the others that they knew, nor from this host's own containers.
func TestWhatCannotBeReadStays(t *testing.T) {
	network := func(r *rig) string { return filepath.Join(r.Host.StoreDir, "networks", "7c7b") }
	for name, path := range map[string]func(r *rig) string{
		"a network":      func(r *rig) string { return filepath.Join(network(r), "network.json") },
		"its containers": func(r *rig) string { return filepath.Join(network(r), "endpoints") },
		"a container":    func(r *rig) string { return filepath.Join(network(r), "endpoints", containerID(1)+".json") },
	} {
		t.Run(name, func(t *testing.T) {
			withAgent(t, func(t *testing.T, r *rig) {
				r.setup(1)
				r.setup(2)
				r.startIdle()
				before := r.published()
				names := r.names.names()
				if err := os.Rename(path(r), path(r)+".aside"); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path(r), path(r)); err != nil { // ELOOP
					t.Fatal(err)
				}
				r.storeChanged()
				sleep(time.Second)
				r.storeChanged()
				sleep(10 * time.Second)
				if got := r.published(); !slices.Equal(got, before) {
					t.Errorf("others are told of %v, before of %v", got, before)
				}
				r.wantNames("while it cannot be read", names)
				if err := os.Remove(path(r)); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(path(r)+".aside", path(r)); err != nil {
					t.Fatal(err)
				}
				r.teardown(1)
				r.storeChanged()
				sleep(maxRetryInterval)
				if got := r.published(); !slices.Equal(got, before[1:]) {
					t.Errorf("afterwards others are told of %v", got)
				}
				r.finish()
			})
		})
	}
}
