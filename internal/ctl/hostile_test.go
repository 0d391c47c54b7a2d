package ctl

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/definition"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/enrol"
)

// spite is what a host that means harm has in each of its texts: it clears the screen, by seven and
// by eight bits, writes from right to left, and goes on as a line of its own.
const spite = "\x1b[2J\u009b31m\u202e\nFORGED"

// spoil adds spite to all texts of a value, in depth.
func spoil[T any](v T) T {
	spoiled := reflect.New(reflect.TypeFor[T]()).Elem()
	spoiled.Set(reflect.ValueOf(&v).Elem())
	spoilValue(spoiled)
	return spoiled.Interface().(T)
}

func spoilValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() && v.Len() > 0 { // others are constants
			v.SetString(v.String() + spite)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fresh := reflect.New(v.Type().Elem())
			fresh.Elem().Set(v.Elem())
			spoilValue(fresh.Elem())
			v.Set(fresh)
		}
	case reflect.Slice:
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		for i := range fresh.Len() {
			spoilValue(fresh.Index(i))
		}
		v.Set(fresh)
	case reflect.Map:
		fresh := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			pair := [2]reflect.Value{reflect.New(key.Type()).Elem(), reflect.New(v.Type().Elem()).Elem()}
			pair[0].Set(key)
			pair[1].Set(v.MapIndex(key))
			spoilValue(pair[0])
			spoilValue(pair[1])
			fresh.SetMapIndex(pair[0], pair[1])
		}
		v.Set(fresh)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoilValue(v.Field(i))
			}
		}
	}
}

// hostileHost hears spite of all others, and is called so itself.
type hostileHost struct{ fakePinger }

func newHostileHost() *hostileHost {
	return &hostileHost{fakePinger{answers: slices.Repeat([]time.Duration{time.Millisecond, 0}, 10), largest: 1400}}
}

func (h *hostileHost) Name() string { return "host-a" + spite }

func (h *hostileHost) Status() (agentapi.StatusReport, error) {
	r, err := h.fakePinger.Status()
	r.Networks[0].Encryption = rotatingEncryption()
	r.Networks[0].Move = &agentapi.MoveStatus{From: "gossip", To: "etcd", Here: []string{"no"}, Missing: []string{"b"}}
	r.Drops = []agentapi.DropStatus{{Reason: "reason", Comment: "rule", Chain: "chain", Packets: 1}}
	return spoil(r), err
}

func (h *hostileHost) StatusWithRates() (agentapi.StatusReport, error) { return h.Status() }

func (h *hostileHost) Inventory() (agentapi.Inventory, bool, error) {
	all, alone, err := h.fakePinger.Inventory()
	return spoil(all), alone, err
}

func (h *hostileHost) DefinedNetworks() ([]DefinedNetwork, error) {
	all, err := h.fakePinger.DefinedNetworks()
	return spoil(all), err
}

func (h *hostileHost) Networks() (KnownNetworks, error) {
	known, err := h.fakePinger.Networks()
	known.Unknown = append(known.Unknown, "host-d is unreachable")
	return spoil(known), err
}

func (h *hostileHost) Definitions() ([]definition.Listed, error) {
	broken := definition.Listed{Definition: inEtcd("broken", "301").Definition, Problem: "nobody knows it"}
	return spoil([]definition.Listed{inEtcd("defined", "300", "b"), broken}), nil
}

func (h *hostileHost) RetireNetwork(string) (definition.Retirement, error) {
	return spoil(definition.Retirement{Uses: []cluster.DefinitionUse{{Host: "b"}}}), nil
}

func (h *hostileHost) CheckRoot() error { return nil }
func (h *hostileHost) Tokens() ([]enrol.Info, error) {
	return spoil([]enrol.Info{{ID: "1a", UsedBy: "b"}}), nil
}
func (h *hostileHost) RevokeToken(string) (enrol.Info, error) {
	return spoil(enrol.Info{ID: "1a", UsedBy: "b"}), nil
}
func (h *hostileHost) CreateToken(time.Duration) (string, error) { return "vx1.token" + spite, nil }
func (h *hostileHost) CreateNetwork([]string, io.Writer) error   { return nil }
func (h *hostileHost) NetworkDriver(string) (string, error)      { return "", nil }
func (h *hostileHost) Cleanup(bool) (networks []string, err error) {
	return spoil([]string{"blue"}), nil
}
func (h *hostileHost) PlannedChanges() ([]string, error) {
	return []string{"ip link add x\x1b[2J"}, nil
}
func (h *hostileHost) ForgetHost(string) (name, warning string, err error) {
	return "c" + spite, "no" + spite, nil
}
func (h *hostileHost) WriteMetrics(w io.Writer) error {
	_, err := io.WriteString(w, "up 1\x1b[2J\n")
	return err
}

func (h *hostileHost) Hosts() ([]agentapi.HostStatus, error) {
	return spoil([]agentapi.HostStatus{{Name: "b", HostName: "b", Reachable: true}}), nil
}

func (h *hostileHost) AskHost(string, agentapi.Request) (agentapi.Response, error) {
	return spoil(agentapi.Response{Error: "no"}), nil
}

func (h *hostileHost) Diagnose(ctx context.Context) doctor.Diagnosis {
	d := h.fakePinger.Diagnose(ctx)
	d.Findings = doctor.FromReport(must(h.fakePinger.Status()))
	return spoil(d)
}

func (h *hostileHost) DiagnoseAll(ctx context.Context) (doctor.Diagnosis, error) {
	return h.Diagnose(ctx), nil
}

func (h *hostileHost) UpgradeHost(ctx context.Context) (doctor.UpgradeHost, error) {
	u, err := h.fakePinger.UpgradeHost(ctx)
	u.Open = spoil(u.Open)
	return u, err
}

func (h *hostileHost) Events(agentapi.EventsRequest) (agentapi.EventsReport, error) {
	return spoil(agentapi.EventsReport{Host: "a", Lost: 3, Events: []agentapi.Event{event(1, agentapi.EventRepaired, time.Minute, "it was mended")}}), nil
}

func (h *hostileHost) AskEach(question func(agentapi.HostStatus) agentapi.Request) ([]agentapi.HostAnswer, error) {
	if question(agentapi.HostStatus{}).Verb != agentapi.VerbEvents {
		return h.StatusOfAll()
	}
	report := must(h.Events(agentapi.EventsRequest{}))
	return spoil([]agentapi.HostAnswer{{Host: agentapi.HostStatus{Name: "b"}, Response: agentapi.Response{Events: &report}}}), nil
}

func (h *hostileHost) StatusOfAll() ([]agentapi.HostAnswer, error) {
	lost := meshHost(1, agentapi.StatusReport{Warnings: []string{"careful"}}, lostTo(2, time.Second))
	return spoil([]agentapi.HostAnswer{lost, meshHost(2, agentapi.StatusReport{}, pathTo(1))}), nil
}

func (h *hostileHost) Wait(context.Context, agentapi.WaitRequest) (string, error) {
	return "nobody" + spite, nil
}

func (h *hostileHost) Forwarding() ([]agentapi.ForwardingEntry, bool, error) {
	all, alone, err := h.fakePinger.Forwarding()
	return spoil(all), alone, err
}

func (h *hostileHost) TracePath(_ context.Context, _ Path, send func()) (here, there []agentapi.TraceEvent, err error) {
	send()
	e := []agentapi.TraceEvent{{Chain: "inet t c", Rule: "drop", Comment: "no", Verdict: "continue"}}
	return spoil(e), spoil(e), nil
}

func (h *hostileHost) ChangeNetwork(name string, _ func(map[string]string) (map[string]string, error)) (ChangedNetwork, error) {
	return spoil(ChangedNetwork{Name: name, Before: map[string]string{"mtu": "1"}, After: map[string]string{"mtu": "2"}}), nil
}

func (h *hostileHost) MoveNetwork(name string,
	_ func(map[string]string) (map[string]string, error)) (ChangedNetwork, error) {
	return spoil(ChangedNetwork{Name: name, Before: map[string]string{"discovery": "gossip"},
		After: map[string]string{"discovery": "etcd", "discovery_also": "gossip"}}), nil
}

func must[T any](v T, _ error) T { return v }

// hostileCommands types each command so that it prints what other hosts say. A command that is not
// here needs a reason.
var hostileCommands = map[string][]string{
	"vxlanctl status":              {"", "--all", "--check ready", "--format {{.Version}}", "--filter state=reachable"},
	"vxlanctl doctor":              {"", "--all", "--for podman=6"},
	"vxlanctl network ls":          {"", "-q", "--format {{.Name}}"},
	"vxlanctl network inspect":     {"blue", "blue -q"},
	"vxlanctl network adopt":       {"--all", "green"},
	"vxlanctl network set":         {"blue mtu=2"},
	"vxlanctl network rm":          {"blue", "blue -q", "elsewhere"},
	"vxlanctl network move":        {"blue etcd", "blue --finish"},
	"vxlanctl network peer add":    {"blue 198.18.0.7"},
	"vxlanctl network peer remove": {"blue 198.18.0.7"},
	"vxlanctl host ls":             {"", "-q"},
	"vxlanctl host forget":         {"c", "c -q"},
	"vxlanctl endpoints":           {"", "-q", `--format {{.Container}}\t{{.Host}}`},
	"vxlanctl names":               {"", "web"},
	"vxlanctl address show":        {"blue"},
	"vxlanctl address check":       {"10.0.0.4", "10.0.0.8"},
	"vxlanctl conflicts":           {"", "-q"},
	"vxlanctl fdb":                 {"", "--diff"},
	"vxlanctl topology":            {"", "--format svg", "--format mermaid", "--format dot"},
	"vxlanctl mesh":                {"", "-q"},
	"vxlanctl metrics":             {""},
	"vxlanctl ping":                {"db -c 2 --pause 0s", "10.0.0.4 -c 2 --pause 0s", "nobody"},
	"vxlanctl trace":               {"web db", "web db -q"},
	"vxlanctl events":              {"", "--all", "--format {{.Text}}"},
	"vxlanctl wait ready":          {""},
	"vxlanctl wait host":           {"b"},
	"vxlanctl wait network":        {"blue"},
	"vxlanctl wait names":          {"web"},
	"vxlanctl drops":               {"", "-q"},
	"vxlanctl reload":              {"--dry-run"},
	"vxlanctl cleanup":             {"--force", "--force -q"},
	"vxlanctl token create":        {""},
	"vxlanctl token ls":            {""},
	"vxlanctl token revoke":        {"1a", "1a -q"},
	"vxlanctl key ls":              {""},
	"vxlanctl encryption status":   {"", "-q"},
	"vxlanctl encryption rotate":   {"--detach"},
}

// wordlessCommands print nothing of other hosts, or not through the tool's own output.
var wordlessCommands = map[string]string{
	"vxlanctl bundle":       "it writes an archive",
	"vxlanctl capture":      "tcpdump prints packets",
	"vxlanctl config check": "it reads a file of this host", "vxlanctl config show": "it reads a file of this host",
	"vxlanctl explain":    "its texts are the program's",
	"vxlanctl init":       "see TestReportsAreSafe",
	"vxlanctl join":       "see TestReportsAreSafe",
	"vxlanctl leave":      "see TestReportsAreSafe",
	"vxlanctl key rotate": "see TestReportsAreSafe",
	"vxlanctl top":        "package top draws it",
	"vxlanctl web":        "a browser shows it",
}

// Whatever other hosts say, no command lets it move the cursor or look like a line of the tool's.
func TestNoCommandPrintsControlCharacters(t *testing.T) {
	all := make(map[string]bool)
	for _, c := range leafCommands(Command(fakeHost{}, "1", io.Discard)) {
		all[c] = true
		if hostileCommands[c] == nil && wordlessCommands[c] == "" {
			t.Errorf("%s is not tried; add it to hostileCommands", c)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(hostileCommands)) {
		if !all[path] {
			t.Errorf("there is no command %s", path)
		}
		for _, args := range hostileCommands[path] {
			typed := append(strings.Fields(path)[1:], spoilNames(strings.Fields(args))...)
			out, err := run(newHostileHost(), typed...)
			if err != nil && !IsPrinted(err) {
				var said bytes.Buffer
				PrintError(&said, err)
				out += said.String()
			}
			wantSafe(t, path+" "+args, out, !strings.Contains(args, "--format {{"))
		}
	}
}

// spoilNames are names of things as they are called on a hostile host.
func spoilNames(args []string) (typed []string) {
	for _, a := range args {
		if slices.Contains([]string{"blue", "db", "web"}, a) {
			a += spite
		}
		typed = append(typed, a)
	}
	return typed
}

func wantSafe(t *testing.T, what, out string, wholeLines bool) {
	t.Helper()
	if !strings.ContainsRune(out, unicode.ReplacementChar) {
		t.Errorf("%s prints nothing of other hosts, so it shows nothing:\n%s", what, out)
	}
	bad := func(r rune) bool { return r != '\n' && r != '\t' && r != ' ' && !unicode.IsPrint(r) }
	if i := strings.IndexFunc(out, bad); i >= 0 {
		t.Errorf("%s prints %q", what, out[max(0, i-40):i+1])
	}
	if wholeLines && strings.Contains("\n"+out, "\nFORGED") {
		t.Errorf("%s prints a line that another host wrote:\n%s", what, out)
	}
}

func leafCommands(c *cobra.Command) (paths []string) {
	if !c.HasSubCommands() {
		return []string{c.CommandPath()}
	}
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			paths = append(paths, leafCommands(sub)...)
		}
	}
	return paths
}

// What is reported while a host joins, leaves or changes its key is one line a report.
func TestReportsAreSafe(t *testing.T) {
	var out bytes.Buffer
	reportTo(&out)("talking to %s", "b"+spite)
	wantSafe(t, "a report", out.String(), true)
}

// What this package prints goes through package output, which makes it safe.
func TestAllIsPrintedByPackageOutput(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, banned := range []string{"fmt.Fprint", "fmt.Print", "os.Stdout", "os.Stderr"} {
			if n := strings.Count(string(text), banned); n > 0 && (f != "ctl.go" || banned != "os.Stderr") {
				t.Errorf("%s: %s; use package output", f, banned)
			}
		}
	}
}
