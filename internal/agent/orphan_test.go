package agent

import (
	"strings"
	"testing"
	"time"
)

// A container whose namespace is gone, and that nobody tears down, is no longer answered, and its
// network goes. Without an event from the kernel it takes a minute.
func TestOrphanIsForgotten(t *testing.T) {
	for name, event := range map[string]bool{"the kernel reports it": true, "nobody reports it": false} {
		t.Run(name, func(t *testing.T) {
			withAgent(t, func(t *testing.T, r *rig) {
				var warnings []string
				r.Host.Warn = func(message string) { warnings = append(warnings, message) }
				r.Host.NamespaceGone = func(path string) bool { _, err := r.openNamespace(path); return err != nil }
				r.start()
				r.setup(1)
				r.setup(2)
				r.storeChanged()
				sleep(time.Second)
				if got := r.names.names(); !strings.Contains(got, "c1") {
					t.Fatalf("answers %s", got)
				}
				r.mu.Lock()
				r.kernel.RemoveNamespace("/ns/1")
				r.mu.Unlock()
				wait := unreportedInterval
				if event {
					r.kernelEvents <- struct{}{}
					wait = time.Second
				}
				sleep(wait)
				if got := r.names.names(); strings.Contains(got, "c1") || !strings.Contains(got, "c2") {
					t.Errorf("answers %s", got)
				}
				r.finish()
				if len(warnings) != 1 || !strings.Contains(warnings[0], "forget container 1111") {
					t.Errorf("warned %q", warnings)
				}
			})
		})
	}
}
