package survey

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// On a busy machine ip may be ended before it has asked the kernel. That is no refusal.
func TestRouteThatIsNotKnown(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	c := collector{ctx: t.Context()}
	to := netip.MustParseAddr("10.0.0.2")
	for script, want := range map[string]struct {
		err     string
		isKnown bool
	}{
		"kill -9 $$": {},
		"exit 0":     {},
		"echo 'RTNETLINK answers: No route to host' >&2; exit 2": {"RTNETLINK answers: No route to host", true},
		`echo '[{"dst":"10.0.0.2","dev":"br"}]'`:                 {"", true},
	} {
		if err := os.WriteFile(filepath.Join(dir, "ip"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		w, isKnown := c.way("c", to, to, to.String())
		if w.Err != want.err || isKnown != want.isKnown {
			t.Errorf("%s: got %q, known %v", script, w.Err, isKnown)
		}
	}
}
