package doctortest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// finding is one of doctor's, as its JSON has it.
type finding struct {
	Code, Level, Host, Network, Summary string
	Evidence, Mend                      []string
}

// examine runs doctor on a host, and returns what it found and its exit code.
func examine(t *testing.T, h *lab.Host, args string) (found []finding, code int) {
	t.Helper()
	out := labtest.Sh(t, h, "code=0; vxlanctl doctor --format json "+args+" || code=$?; echo $code")
	end := strings.LastIndex(out, "}") + 1
	var report struct{ Findings []finding }
	if err := json.Unmarshal([]byte(out[:end]), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := fmt.Sscan(out[end:], &code); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return report.Findings, code
}

// awaitHealth waits until doctor finds nothing on any host: agents need a moment to find each other.
func awaitHealth(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		deadline := time.Now().Add(90 * time.Second) // a refused host tries again within a minute
		before := ""
		for {
			found, code := examine(t, h, "")
			if code == 0 && len(found) == 0 {
				break
			}
			if now := describe(found); now != before {
				before = now
				t.Log(h.Name(), "is not healthy yet:", now)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not healthy, %d", h.Name(), code)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// fault is a way to break a host.
type fault struct {
	name   string
	on     string // host to break; "": host-b
	inject string // script
	code   string // what doctor must name first
	host   string // on which host it must name it; "": the broken one
	look   string // host on which doctor is typed; "": the broken one
	says   string // part of the summary
	mend   string // script, where a person has to decide; "": what is printed, as it is printed
	quick  bool   // part of the short run
}

// tryFault breaks a host, looks, mends it as printed, and looks again.
func tryFault(t *testing.T, l *lab.Lab, f fault) {
	t.Helper()
	pick := func(names ...string) *lab.Host {
		return l.Host(names[slices.IndexFunc(names, func(n string) bool { return n != "" })])
	}
	broken := pick(f.on, "host-b")
	labtest.Sh(t, broken, f.inject)
	first, all := awaitFinding(t, pick(f.look, f.on, "host-b"), f.code)
	wantHost := pick(f.host, f.on, "host-b").Name()
	if first.Code != f.code || first.Host != wantHost || !strings.Contains(first.Summary, f.says) || len(first.Evidence)+len(first.Mend) < 2 && len(first.Mend) == 0 {
		t.Errorf("want %s on %s (%s) first, found %s", f.code, wantHost, f.says, describe(all))
	}
	script := f.mend
	if script == "" {
		script = strings.Join(first.Mend, "\n")
	}
	if out, err := l.Host(wantHost).Sh(t.Context(), script); err != nil {
		t.Errorf("mend %q: %v: %s", script, err, out)
	}
	awaitHealth(t, l.Hosts()...)
}

// awaitFinding examines a host until the first finding has the code, or for long enough.
func awaitFinding(t *testing.T, h *lab.Host, code string) (first finding, all []finding) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		all, _ = examine(t, h, "")
		if len(all) > 0 && all[0].Code == code || time.Now().After(deadline) {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if len(all) == 0 {
		return finding{}, nil
	}
	return all[0], all
}

func describe(all []finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "\n%s %s %s %s: %s\n  seen %q\n  mend %q", f.Code, f.Level, f.Host, f.Network, f.Summary, f.Evidence, f.Mend)
	}
	return b.String()
}
