package doctortest

import (
	"cmp"
	"encoding/json"
	"fmt"
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

// How long doctor may take to name a fault, and the hosts to be healthy again.
var (
	findingTime = 30 * time.Second
	healthTime  = 90 * time.Second // a refused host tries again within a minute
)

// shorten sets a time for one test.
func shorten(t *testing.T, what *time.Duration, to time.Duration) {
	before := *what
	*what = to
	t.Cleanup(func() { *what = before })
}

// awaitHealth waits until doctor finds nothing on any host: agents need a moment to find each other.
func awaitHealth(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		deadline := time.Now().Add(healthTime)
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
	on     string // host; "": host-b
	inject string // script
	code   string // that doctor must name first
	host   string // on which host it must name it; "": the broken one
	look   string // host on which doctor is typed; "": the broken one
	says   string // part of the summary
	then   string // code of a second cause, which doctor must name once the first is mended
	all    bool   // the mend is typed on all hosts, as its comment says; so is after
	after  string // takes off the broken host what the fault needed and what does no harm
	quick  bool   // part of the short run
	plain  bool   // the broken host's packets of an encrypted network are in plaintext, as it was told
	person decision
}

// decision is a mend that nobody can print, and why not.
type decision struct{ why, script string }

// tryFault breaks a host, looks, types the mend as printed, and looks again.
func tryFault(t *testing.T, l *lab.Lab, f fault) {
	t.Helper()
	broken := l.Host(cmp.Or(f.on, "host-b"))
	labtest.Sh(t, broken, f.inject)
	look := l.Host(cmp.Or(f.look, f.on, "host-b"))
	first := wantFirst(t, look, f.code, cmp.Or(f.host, f.on, "host-b"), f.says)
	f.typeMend(t, l, first)
	if f.then != "" {
		f.typeMend(t, l, wantFirst(t, look, f.then, broken.Name(), ""))
	}
	awaitHealth(t, l.Hosts()...)
	if f.after != "" {
		for _, h := range l.Hosts() {
			if h == broken || f.all {
				labtest.Sh(t, h, f.after)
			}
		}
		awaitHealth(t, l.Hosts()...)
	}
}

// wantFirst waits for a finding, which must be the first one, of the host, with evidence and a mend.
func wantFirst(t *testing.T, look *lab.Host, code, host, says string) finding {
	t.Helper()
	first, all := awaitFinding(t, look, code)
	if first.Code != code || first.Host != host || !strings.Contains(first.Summary, says) {
		t.Errorf("want %s on %s (%s) first, found %s", code, host, says, describe(all))
	}
	if len(first.Evidence) == 0 || len(first.Mend) == 0 {
		t.Errorf("%s has no evidence or no mend: %s", code, describe(all))
	}
	return first
}

// typeMend types what was printed, or what a person decides.
func (f fault) typeMend(t *testing.T, l *lab.Lab, found finding) {
	t.Helper()
	script, hosts := strings.Join(found.Mend, "\n"), []*lab.Host{l.Host(found.Host)}
	if f.person.why != "" {
		script, hosts = f.person.script, []*lab.Host{l.Host(cmp.Or(f.on, "host-b"))}
	}
	if f.all {
		hosts = l.Hosts()
	}
	for _, h := range hosts {
		if h == nil {
			t.Fatalf("%q is no host: %q", found.Host, found.Mend)
		}
		if out, err := h.Sh(t.Context(), script); err != nil {
			t.Errorf("mend %q: %v: %s", script, err, out)
		}
	}
}

// awaitFinding examines a host until the first finding has the code, or for long enough.
func awaitFinding(t *testing.T, h *lab.Host, code string) (first finding, all []finding) {
	t.Helper()
	deadline := time.Now().Add(findingTime)
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
