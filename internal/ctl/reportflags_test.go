package ctl

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// tracingHost sends packets to db, which a rule of host-b drops.
type tracingHost struct{ fakePinger }

func (h *tracingHost) TracePath(context.Context, Path, func()) (here, there []agentapi.TraceEvent, err error) {
	here = []agentapi.TraceEvent{{Packet: "1", Chain: "bridge t out", Rule: "accept", Comment: "by port", Verdict: "accept"}}
	there = []agentapi.TraceEvent{{Packet: "7", Chain: "inet f in", Verdict: "accept"}, {Packet: "7", Chain: "inet g in", Verdict: "drop"}}
	return here, there, nil
}

// What prints several tables shows the rows that match, in JSON too, and -q what a script needs.
func TestFlagsOfReports(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string // is printed; ALL before it: and nothing else
		not  string
	}{
		{"status --filter network=red", 0, "host-b", "blue "},
		{"status --filter host=host-b", 0, "\nNETWORK", "host-c"},
		{"status --filter state=no_agent", 0, "198.18.0.4", "host-b"},
		{"status --filter state=no_agent --format {{len_(index_.Clusters_0).Hosts}}", 0, "ALL0\n", ""},
		{"status --filter code=VX0302 --filter host=nobody", 0, "nothing that is wrong passes the filter; 1 network, 1 container here", "# VX"},
		{"status --filter level=warning -q", 0, "ALLwarning\n", ""},
		{"status --filter code=VX9999 -q", 0, "ALLok\n", ""},
		{"status --filter code=VX9999 --format {{.Level}}{{len_.Findings}}", 0, "ALLok0\n", ""},
		{"status --filter colour=red", 2, "", ""},
		{"status --check ready --filter code=VX9999", 2, "", ""},
		{"status --all --filter status=unknown", 0, "1 warning on 1 host", ""},
		{"status --all --filter host=nobody", 0, "no host passes the filter", "all is well"},
		{"status --all --filter vni=7", 2, "", ""},
		{"network inspect blue --filter state=unreachable", 0, "lost", "db "},
		{"network inspect blue --filter host=host-b* -q", 0, "ALLdb\nsoon\n", ""},
		{"network inspect blue --filter mtu=1400 --format {{len_.Hosts}}{{len_.Endpoints}}{{len_.Subnets}}", 0, "ALL141\n", ""},
		{"network inspect blue --filter reason=x", 2, "", ""},
		{"topology --filter network=blue --filter state=unreachable", 0, "host-c", "host-b"},
		{"topology --filter network=blue -q", 0, "ALLblue\n", ""},
		{"topology --filter host=nobody --filter network=blue --format mermaid", 0, "host-a", "host-b"},
		{"trace web db --filter verdict=drop", 1, "inet g in, its policy: drop", "by port"},
		{"trace web db --filter host=host-a* --format {{len_.Here}}{{len_.There}}", 1, "ALL10\n", ""},
		{"trace web db --filter host=nobody", 1, "dropped on host host-b (198.18.0.2) by inet g in, its policy\n", "accept"},
		{"trace web db -q", 1, "ALLdropped on host host-b (198.18.0.2) by inet g in, its policy\n", ""},
		{"ping db -c 1 -q", 0, "ALL", ""},
		{"address check 10.0.0.8 -q", 1, "ALL", ""},
		{"events -q --filter network=blue", 0, "ALLhost-joined\n", ""},
		{"events -q --format json", 2, "", ""},
		{"events --noheading --format table_{{.Kind}}", 0, "ALLrepaired\nhost-joined\n", ""},
		{"events --format table_{{.Kind}}", 0, "ALLKIND\nrepaired\nhost-joined\n", ""},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		host := reportingHost{tracingHost: &tracingHost{fakePinger{answers: []time.Duration{time.Millisecond}, largest: 9000}}}
		out, err := run(host, args...)
		want, isAll := strings.CutPrefix(tt.want, "ALL")
		isPrinted := strings.Contains(out, want) && (!isAll || out == want)
		if ExitCode(err) != tt.code || !isPrinted || tt.not != "" && strings.Contains(out, tt.not) {
			t.Errorf("%s: %d, %v\n%s", tt.args, ExitCode(err), err, out)
		}
	}
}

// reportingHost has two events, and a container that does not answer.
type reportingHost struct{ *tracingHost }

func (reportingHost) Events(r agentapi.EventsRequest) (agentapi.EventsReport, error) {
	return filteredHost{}.Events(r)
}

func (reportingHost) SendProbe(Path, uint16, time.Duration) (time.Duration, error) { return 0, nil }

// A command has the flags that make sense for it, and no others.
func TestFlagsOfEveryCommand(t *testing.T) {
	flags := make(map[string][]string)
	for _, path := range leafCommands(Command(fakeHost{}, "1", nil)) {
		c, _, err := Command(fakeHost{}, "1", nil).Find(strings.Fields(path)[1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"format", "quiet", "noheading", "no-trunc", "filter", "watch"} {
			if c.Flags().Lookup(name) != nil {
				flags[name] = append(flags[name], strings.TrimPrefix(path, "vxlanctl "))
			}
		}
	}
	for _, tt := range []struct {
		flag string
		not  []string
	}{
		{"filter", []string{"ping", "address check", "config check"}},
		{"quiet", nil}, {"noheading", nil}, {"watch", nil},
	} {
		for _, name := range []string{"status", "ping", "trace", "topology", "network inspect", "address check", "config check",
			"events", "doctor", "drops", "mesh", "host ls", "network ls", "endpoints", "names", "conflicts", "fdb", "key ls", "token ls"} {
			if has := slices.Contains(flags[tt.flag], name); has == slices.Contains(tt.not, name) {
				t.Errorf("%s has --%s: %v", name, tt.flag, has)
			}
		}
	}
}
