package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/definition"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/golden"
)

// jsonCommands are all commands that print JSON of what a host has.
var jsonCommands = []string{
	"status", "status --all", "host ls", "network ls", "network inspect blue", "endpoints", "names", "conflicts", "fdb", "topology",
	"address show blue", "address check 10.0.0.8", "config check", "config show", "explain", "explain VX0301",
	"doctor", "doctor --for podman=6", "drops", "mesh", "ping db -c 1", "trace web db", "events", "key ls",
	"encryption status", "token ls", "token create", "reload",
	"reload --dry-run", "network set blue mtu=1402", "network peer add blue 198.18.0.7", "network peer remove blue 198.18.0.2",
	"network rm blue", "network rm elsewhere", "network move blue etcd", "network adopt green", "host forget c",
	"cleanup --force", "token revoke 1a",
}

// otherJSON are commands whose JSON another test reads.
var otherJSON = map[string]string{
	"init": "as token create", "join": "TestJoinedForScripts", "leave": "TestMembershipForScripts",
	"key rotate": "TestMembershipForScripts", "encryption rotate": "TestRotationForScripts", "bundle": "TestBundleFile",
}

// jsonHost has one of each thing that other commands print.
type jsonHost struct{ *hostileHost }

func (jsonHost) Status() (agentapi.StatusReport, error) {
	r, err := fakeHost{}.Status()
	r.Networks[0].Encryption = rotatingEncryption()
	r.Networks[0].Move = &agentapi.MoveStatus{From: "gossip", To: "etcd", Missing: []string{"b"}}
	r.Drops = []agentapi.DropStatus{{Reason: "not_a_member", Comment: "not from a member", Chain: "inet vxlan-driver raw", Packets: 3, Bytes: 300}}
	return r, err
}

func (jsonHost) Events(r agentapi.EventsRequest) (agentapi.EventsReport, error) {
	repaired := event(1, agentapi.EventRepaired, time.Minute, "rules are back")
	repaired.Code, repaired.Fields = "VX0501", map[string]string{agentapi.FieldNetwork: "blue"}
	return agentapi.EventsReport{Host: "a", Events: []agentapi.Event{repaired}}, nil
}

func (h jsonHost) StatusOfAll() ([]agentapi.HostAnswer, error) {
	lost := []agentapi.HostAnswer{meshHost(1, agentapi.StatusReport{}, lostTo(2, time.Second)), meshHost(2, agentapi.StatusReport{}, pathTo(1))}
	return append(must(fakeHost{}.StatusOfAll()), lost...), nil
}

func (jsonHost) Networks() (KnownNetworks, error) {
	known, err := fakeHost{}.Networks()
	for i := range known.Others {
		known.Others[i].VTEP = netip.MustParseAddr("198.18.0.2")
	}
	return known, err
}

func (jsonHost) Definitions() ([]definition.Listed, error) {
	return []definition.Listed{inEtcd("elsewhere", "300", "b")}, nil
}

func (jsonHost) RetireNetwork(string) (definition.Retirement, error) {
	return definition.Retirement{Defined: true}, nil
}

func (h jsonHost) StatusWithRates() (agentapi.StatusReport, error) { return h.Status() }
func (jsonHost) Inventory() (agentapi.Inventory, bool, error)      { return fakeHost{}.Inventory() }
func (jsonHost) DefinedNetworks() ([]DefinedNetwork, error)        { return fakeHost{}.DefinedNetworks() }
func (jsonHost) Forwarding() ([]agentapi.ForwardingEntry, bool, error) {
	return fakeHost{}.Forwarding()
}

func (jsonHost) OwnAddrs([]netip.Addr) ([]netip.Addr, error) { return nil, nil }
func (jsonHost) NetworkDriver(string) (string, error)        { return "", nil }

// runForScript runs the tool, and returns what it prints to stdout alone.
func runForScript(host Host, args ...string) (string, error) {
	var out bytes.Buffer
	c := Command(host, "1", &out)
	c.SetErr(io.Discard)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

// Scripts rely on the fields. One that goes or changes its type needs another schema; one that comes
// is added to the file: go test ./internal/ctl -update.
func TestJSONFields(t *testing.T) {
	var b strings.Builder
	for _, args := range jsonCommands {
		out, err := runForScript(jsonHost{newHostileHost()}, append(strings.Fields(args), "--format", "json")...)
		if err != nil && !IsPrinted(err) {
			t.Fatalf("%s: %v", args, err)
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(out), &document); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
		if document["schema"] != 1.0 {
			t.Errorf("%s: schema %v", args, document["schema"])
		}
		fmt.Fprintf(&b, "vxlanctl %s\n", args)
		fields := make(map[string]bool)
		collectFields("", document, fields)
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	golden.Compare(t, "json-fields.txt", b.String())
}

// collectFields notes the paths of all fields, with their types.
func collectFields(path string, v any, fields map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.ContainsAny(key, ".:") { // an address, not a field
				key = "ADDRESS"
			}
			collectFields(strings.TrimPrefix(path+"."+key, "."), value, fields)
		}
	case []any:
		if len(v) == 0 {
			fields[path+"[]"] = true
		}
		for _, value := range v {
			collectFields(path+"[]", value, fields)
		}
	default:
		fields[fmt.Sprintf("%s %T", path, v)] = true
	}
}

// Each command that has a format is in the list.
func TestJSONOfEveryCommand(t *testing.T) {
	for _, path := range leafCommands(Command(fakeHost{}, "1", io.Discard)) {
		c, _, err := Command(fakeHost{}, "1", io.Discard).Find(strings.Fields(path)[1:])
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(path, "vxlanctl ")
		isListed := slices.ContainsFunc(jsonCommands, func(args string) bool { return args == name || strings.HasPrefix(args, name+" ") })
		if hasFormat := c.Flags().Lookup("format") != nil; hasFormat && !isListed && otherJSON[name] == "" {
			t.Errorf("%s is not in jsonCommands", path)
		}
	}
}

// Lists of many kinds are filtered, printed by templates and without headings alike.
func TestListFlags(t *testing.T) {
	for _, args := range []string{"host ls", "network ls", "endpoints", "names", "conflicts", "fdb", "address show blue", "config show", "explain"} {
		words := strings.Fields(args)
		table, err := run(fakeHost{}, append(words, "--no-trunc")...)
		if err != nil || !strings.Contains(table, "\n") {
			t.Errorf("%s: %v", args, err)
			continue
		}
		heading, rest, _ := strings.Cut(table, "\n")
		if plain, err := run(fakeHost{}, append(words, "--noheading")...); err != nil || plain != rest {
			t.Errorf("%s --noheading: %v\n%s", args, err, plain)
		}
		column := strings.ToLower(strings.Fields(heading)[0])
		if none, err := run(fakeHost{}, append(words, "-q", "--filter", column+"=no-such-thing")...); err != nil || none != "" {
			t.Errorf("%s -q --filter: %v, %s", args, err, none)
		}
		if objects, err := run(fakeHost{}, append(words, "--format", "{{json .}}")...); err != nil || !strings.HasPrefix(objects, "{") {
			t.Errorf("%s --format: %v, %s", args, err, objects)
		}
		if _, err := run(fakeHost{}, append(words, "--filter", "colour=red")...); ExitCode(err) != 2 {
			t.Errorf("%s --filter of no column: %v", args, err)
		}
	}
}

// What is no table of its own is filtered by columns too.
func TestFiltersOfReports(t *testing.T) {
	findings := doctor.FromReport(must(fakeHost{}.Status()))
	tests := []struct {
		args string
		code int
		want string // a line; "": nothing is printed
		not  string
	}{
		{"doctor -q --filter level=warning", 1, "VX0310", "VX0301"},
		{"doctor -q --filter code=VX0301 --filter code=VX0302", 2, "VX0302", "VX0303"},
		{"doctor --filter network=none", 0, "nothing that was found passes the filter", "no fault found"},
		{"doctor --filter colour=red", 2, "", ""},
		{"drops -q --filter packets=1", 0, "spoofed", "not_a_member"},
		{"drops -f --filter packets=1", 2, "", ""},
		{"events --filter kind=repaired", 0, "Nov 29 10:00:00 repaired: rules are back", "joined"},
		{"events --filter network=blue", 0, "Nov 29 10:00:00 host-joined: host b joined", "repaired"},
		{"events --filter what-happened=*back", 0, "Nov 29 10:00:00 repaired: rules are back", "joined"},
		{"events --filter colour=red", 2, "", ""},
	}
	for _, tt := range tests {
		out, err := run(filteredHost{fakeHost{findings: findings}}, strings.Fields(tt.args)...)
		isPrinted := slices.Contains(strings.Split(out, "\n"), tt.want)
		if ExitCode(err) != tt.code || !isPrinted || tt.not != "" && strings.Contains(out, tt.not) {
			t.Errorf("%s: %d, %v\n%s", tt.args, ExitCode(err), err, out)
		}
	}
}

// filteredHost has two drops and two events.
type filteredHost struct{ fakeHost }

func (h filteredHost) Status() (agentapi.StatusReport, error) {
	r, err := h.fakeHost.Status()
	r.Drops = []agentapi.DropStatus{{Reason: "not_a_member", Packets: 3}, {Reason: "spoofed", Packets: 1}}
	return r, err
}

func (filteredHost) Events(agentapi.EventsRequest) (agentapi.EventsReport, error) {
	joined := event(2, agentapi.EventHostJoined, time.Second, "host b joined")
	joined.Fields = map[string]string{agentapi.FieldNetwork: "blue"}
	return agentapi.EventsReport{Host: "a", Events: []agentapi.Event{event(1, agentapi.EventRepaired, time.Minute, "rules are back"), joined}}, nil
}

// A script gets a new token, and what a reload does, without having to cut lines.
func TestActionsForScripts(t *testing.T) {
	tests := []struct{ args, want string }{
		{"token create -q", "vx1.token\n"},
		{"token create --format {{.Token}}|{{.Command}}", "vx1.token|vxlanctl join vx1.token\n"},
		{"reload --format {{.Networks}}", "2\n"},
		{"token revoke 1a -q", "1a\n"},
		{"network set blue mtu=1402 isolate=true -q", "isolate\nmtu\n"},
		{"network set blue mtu=1450 -q", ""},
		{"network set blue mtu= --format {{range_.Changes}}{{.Option}}|{{.Before}}|{{.After}}{{end}}", "mtu|1450|\n"},
		{"network peer add blue 198.18.0.3 --format {{(index_.Changes_0).After}}", "198.18.0.1,198.18.0.2,198.18.0.3\n"},
		{"network peer remove blue 198.18.0.9 -q", ""},
		{"network rm blue red -q", "blue\nred\n"},
		{"network rm blue --format {{index_.Networks_0}}", "blue\n"},
		{"host forget b -q", "b.198.18.0.2\n"},
		{"host forget b --format {{.Host}}|{{.Warning}}", "b.198.18.0.2|careful\n"},
		{"cleanup --force -q", "blue\nred\n"},
		{"cleanup --format {{len_.Networks}}", "0\n"},
		{"reload --dry-run --format {{len_.Commands}}", "1\n"},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		if out, err := runForScript(scriptedHost{}, args...); err != nil || out != tt.want {
			t.Errorf("%s: %v, printed %q", tt.args, err, out)
		}
	}
	// What was typed wrongly is refused before anything is changed.
	for _, args := range []string{"token create --format {{.Nothing}}", "reload --format {{.Nothing}}", "token create -q --format json",
		"network set blue mtu=1402 --format {{.Nothing}}", "network rm blue --format {{.Nothing}}", "host forget b --format {{.Nothing}}",
		"cleanup --format {{.Nothing}}", "token revoke 1a --format {{.Nothing}}", "network adopt blue --format {{.Nothing}}",
		"join --format {{.Nothing}} -", "leave --format {{.Nothing}}", "key rotate --format {{.Nothing}}", "bundle --format {{.Nothing}}",
		"bundle -q -o -", "bundle -o - --format json"} {
		if _, err := run(fakeHost{err: errors.New("it was changed")}, strings.Fields(args)...); ExitCode(err) != exitUsage {
			t.Errorf("%s: %v", args, err)
		}
	}
}

type scriptedHost struct{ fakeHost }

func (scriptedHost) RevokeToken(id string) (enrol.Info, error) { return enrol.Info{ID: id}, nil }

func (scriptedHost) CreateToken(time.Duration) (string, error) { return "vx1.token", nil }
