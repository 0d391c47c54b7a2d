package main

import (
	"regexp"
	"strings"
	"testing"
)

// The limits of a container's unit are not the agent's.
func TestRaiseLimits(t *testing.T) {
	cmd := testChild(t, "limits")
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `ulimit -n 100; ulimit -n 100000 2>/dev/null || echo fixed; ulimit -n 100; ulimit -t 60; ulimit -f 1000; exec "$0"`, cmd.Path}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	if strings.Contains(string(out), "fixed") {
		t.Skip("a limit cannot be raised here: no CAP_SYS_RESOURCE")
	}
	for _, want := range []string{`Max open files +65536 +65536`, `Max cpu time +unlimited +unlimited`, `Max file size +unlimited +unlimited`} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %q in the limits:\n%s", want, out)
		}
	}
}
