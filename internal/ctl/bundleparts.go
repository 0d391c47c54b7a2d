package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/bundle"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/regfile"
)

// bundledPrograms are what is asked of this host, by the files of the archive.
var bundledPrograms = []struct{ file, command string }{
	{"versions/kernel.txt", "uname -srvm"},
	{"versions/podman.txt", "podman --version"},
	{"versions/nft.txt", "nft --version"},
	{"versions/ip.txt", "ip -V"},
	{"ip/link.txt", "ip -d -s link show"},
	{"ip/address.txt", "ip address show"},
	{"ip/route4.txt", "ip -4 route show table all"},
	{"ip/route6.txt", "ip -6 route show table all"},
	{"ip/rule4.txt", "ip -4 rule show"},
	{"ip/rule6.txt", "ip -6 rule show"},
	{"ip/neigh.txt", "ip neigh show"},
	{"bridge/fdb.txt", "bridge fdb show"},
	{"bridge/link.txt", "bridge -d link show"},
	{"bridge/vlan.txt", "bridge vlan show"},
	{"nft/ruleset.txt", "nft list ruleset"},
	{"tc/qdisc.txt", "tc -s qdisc show"},
	{"ss/udp.txt", "ss -lunm"},
	{"ss/tcp.txt", "ss -ltn"},
}

// bundledSysctls are files below /proc/sys/net, those of bridges only where their module is loaded.
var bundledSysctls = []string{
	"ipv4/ip_forward", "ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter", "ipv4/conf/all/forwarding",
	"ipv6/conf/all/forwarding", "ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6",
	"ipv4/neigh/default/gc_thresh3", "ipv6/neigh/default/gc_thresh3", "netfilter/nf_conntrack_max",
	"netfilter/nf_conntrack_count",
	"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables",
}

// How much of the agent's log is taken.
const (
	maxLogLines = 1000
	maxLogSize  = 2 << 20 // more than the agent lets it grow to
)

// agentLog is the log on a host without systemd.
const agentLog = "/run/vxlan/vxland.log"

// parts are the files of the archive.
func (o bundleOptions) parts(host BundledHost) []bundle.Part {
	parts := []bundle.Part{
		{Name: "versions/vxlanctl.txt",
			Collect: func(context.Context) ([]byte, error) { return []byte(o.version + "\n"), nil }},
		jsonPart("status.json", func(context.Context) (any, error) { return host.Status() }),
		jsonPart("doctor.json", func(ctx context.Context) (any, error) { return host.Diagnose(ctx), nil }),
		jsonPart("inventory.json", func(context.Context) (any, error) { return withoutAlone(host.Inventory()) }),
		jsonPart("fdb.json", func(context.Context) (any, error) { return withoutAlone(host.Forwarding()) }),
		jsonPart("events.json", func(context.Context) (any, error) { return host.Events(agentapi.EventsRequest{}) }),
		jsonPart("config.json", func(context.Context) (any, error) { return o.config.Settings() }),
		{Name: "sysctl.txt", Collect: readSysctls},
		{Name: "log.txt", Collect: o.readLog},
		{Name: "podman/networks.json",
			Collect: func(ctx context.Context) ([]byte, error) { return o.inspectNetworks(ctx, host) }},
	}
	for _, p := range bundledPrograms {
		words := strings.Fields(p.command)
		parts = append(parts, bundle.Part{Name: p.file, Collect: func(ctx context.Context) ([]byte, error) {
			return o.run(ctx, words[0], words[1:]...)
		}})
	}
	if o.all {
		for _, verb := range []agentapi.Verb{agentapi.VerbStatus, agentapi.VerbDiagnose, agentapi.VerbEvents} {
			parts = append(parts, answersPart(host, verb))
		}
	}
	return parts
}

func jsonPart(name string, read func(context.Context) (any, error)) bundle.Part {
	return bundle.Part{Name: name, Collect: func(ctx context.Context) ([]byte, error) {
		object, err := read(ctx)
		if err != nil {
			return nil, err
		}
		return json.MarshalIndent(object, "", "  ")
	}}
}

// withoutAlone drops whether an agent runs, which the status says.
func withoutAlone[T any](found T, _ bool, err error) (any, error) { return found, err }

// answersPart has what each host answers. Which one did not is an error of the part.
func answersPart(host EventSource, verb agentapi.Verb) bundle.Part {
	return bundle.Part{Name: "hosts/" + string(verb) + ".json", Collect: func(context.Context) ([]byte, error) {
		answers, err := host.AskEach(func(agentapi.HostStatus) agentapi.Request {
			r := agentapi.Request{Verb: verb}
			if verb == agentapi.VerbEvents {
				r.Events = &agentapi.EventsRequest{}
			}
			return r
		})
		if err != nil {
			return nil, err
		}
		type answer struct {
			Host     string            `json:"host"`
			Response agentapi.Response `json:"response"`
		}
		found := []answer{}
		for _, a := range answers {
			if a.Err != nil {
				err = errors.Join(err, fmt.Errorf("host %s: %w", a.Host.Name, a.Err))
				continue
			}
			found = append(found, answer{a.Host.Name, a.Response})
		}
		text, encodeErr := json.MarshalIndent(found, "", "  ")
		return text, errors.Join(err, encodeErr)
	}}
}

// readSysctls leaves out those that this kernel does not have.
func readSysctls(context.Context) ([]byte, error) {
	var text strings.Builder
	for _, name := range bundledSysctls {
		if value, err := os.ReadFile("/proc/sys/net/" + name); err == nil {
			output.Fprintf(&text, "net.%s = %s\n", strings.ReplaceAll(name, "/", "."), strings.TrimSpace(string(value)))
		}
	}
	return []byte(text.String()), nil
}

// readLog reads the end of the agent's log: its file, or else the journal.
func (o bundleOptions) readLog(ctx context.Context) ([]byte, error) {
	data, err := regfile.Tail(agentLog, maxLogSize)
	if err != nil {
		return o.run(ctx, "journalctl", "--unit", "vxland", "--lines", fmt.Sprint(maxLogLines), "--no-pager", "--no-hostname",
			"--output", "short-iso")
	}
	lines := strings.SplitAfter(string(data), "\n")
	return []byte(strings.Join(lines[max(0, len(lines)-maxLogLines-1):], "")), nil
}

// inspectNetworks asks Podman about the driver's networks only: others are none of the driver's
// business.
func (o bundleOptions) inspectNetworks(ctx context.Context, host BundledHost) ([]byte, error) {
	defined, err := host.DefinedNetworks()
	if err != nil || len(defined) == 0 {
		return nil, err
	}
	args := []string{"network", "inspect"}
	for _, n := range defined {
		args = append(args, n.Name)
	}
	return o.run(ctx, "podman", args...)
}

// addPodmanNames adds the names of all containers and networks here: texts of firewalls have those
// of other drivers too. Podman's own network has a name that tells nothing.
func addPodmanNames(ctx context.Context, names *bundle.Anonymizer,
	run func(context.Context, string, ...string) ([]byte, error)) {
	containers, _ := run(ctx, "podman", "ps", "--all", "--format", "{{.Names}}") // without Podman there are none
	for name := range strings.FieldsSeq(string(containers)) {
		names.AddName("container", name)
	}
	networks, _ := run(ctx, "podman", "network", "ls", "--format", "{{.Name}}")
	for name := range strings.FieldsSeq(string(networks)) {
		if name != "podman" {
			names.AddName("network", name)
		}
	}
}
