package plugin

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
)

// Aliases and comments have room for a part of a long name only. It must be the part that is read
// back, or each setup would take the kernel's state for another's.
func TestRealLongNames(t *testing.T) {
	id := strings.Repeat("7c", 32)
	for _, length := range []int{93, 94, 106, 107, 127, 200, 245} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			a, _ := newRealHosts(t)
			open, changes := a.Open, 0
			a.Open = func(path string) (hoststate.Namespace, error) {
				ns, err := open(path)
				return failingNamespace{ns, &changes, 0}, err
			}
			ns, r := realRequest(t, "198.18.0.10", 1)
			r.ContainerID = strings.Repeat("c1", 32)
			r.Network = []byte(strings.NewReplacer(`"vxlan-network"`, fmt.Sprintf("%q", strings.Repeat("n", length)), `"7c7b"`, fmt.Sprintf("%q", id)).
				Replace(string(r.Network)))
			if _, err := a.Create(r.Network); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				changes = 0
				if _, err := a.Setup(ns, r); err != nil {
					t.Fatal(err)
				}
			}
			if changes > 0 {
				t.Errorf("the second setup made %d changes", changes)
			}
			if err := a.Teardown(ns, r); err != nil {
				t.Fatal(err)
			}
			if left := runShell(t, a.ns, "ip -br link"); strings.Contains(left, "vx") {
				t.Errorf("left:\n%s", left)
			}
		})
	}
}
